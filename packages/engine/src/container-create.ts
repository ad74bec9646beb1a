/** docker create: checks, names, the record, the layer, the volumes. */
import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { EngineError, formatRfc3339Nano, messageOf, shortId, zeroTime } from "@fathom/base";
import type {
  ContainerConfig,
  ContainerCreateRequest,
  ContainerCreateResponse,
  HostConfig,
  Platform,
} from "@fathom/spec";
import { commandLine, mergeImageConfig } from "./config-merge.ts";
import type { Container, ContainerRecord } from "./container.ts";
import { checkNetworkMode, requestedNetworks, requestedPorts } from "./container-network.ts";
import { publish, type EngineContext } from "./context.ts";
import type { LocalImage, MountPoint } from "./contract.ts";
import { withHostDefaults } from "./host-config.ts";
import { createImageLayer, removeImageLayers, resolveImageMounts } from "./image-mounts.ts";
import { checkLogSettings, logTarget } from "./log-config.ts";
import { ensureVolumes, plannedMounts, wantedMounts, type WantedMount } from "./mounts.ts";
import { checkBindSources } from "./mount-sources.ts";
import { checkName, makeName } from "./names.ts";
import { containerPaths } from "./paths.ts";
import { parseSignal } from "./signals.ts";
import { validateRequest } from "./translate.ts";
import { fillVolumes } from "./volume-copy.ts";

export async function createContainer(
  engine: EngineContext,
  requestedName: string | undefined,
  platform: Platform | undefined,
  body: ContainerCreateRequest,
): Promise<ContainerCreateResponse> {
  const { HostConfig: requestedHost, NetworkingConfig: networking, ...requestedConfig } = body;
  checkRestart(requestedHost);
  checkNetworkMode(requestedConfig, requestedHost);
  const image = requestedConfig.Image === "" ? undefined : engine.images.lookup(requestedConfig.Image);
  const warnings = image === undefined ? [] : platformWarnings(image, body.Image ?? image.id, platform);
  const merged = mergeImageConfig(requestedConfig, image?.config.config ?? {});
  if (merged.StopSignal) parseSignal(merged.StopSignal);
  const host = sharedById(engine, withHostDefaults(requestedHost, engine.config, engine.oci.defaults));
  checkLogSettings(host.LogConfig as { Type: string; Config: Record<string, string> });
  warnings.push(...validateRequest(engine, merged, host, body));
  const asked = wantedMounts(merged, host, (from) => donorMounts(engine, from));
  await checkBindSources(engine.files, host.Mounts ?? []);

  const id = engine.stems.newId();
  let name: string | undefined;
  try {
    name =
      requestedName === undefined || requestedName === ""
        ? makeName((candidate) => engine.containers.nameTaken(candidate) !== undefined)
        : checkName(requestedName);
    engine.containers.reserve(name, id);
    const config = finishConfig(engine, merged, host, id);
    const wanted = resolveImageMounts(engine, id, asked);
    const { path, arguments: args } = commandLine(config);
    const record: ContainerRecord = {
      id,
      name,
      createdAt: formatRfc3339Nano(engine.clock.nowNs()),
      imageId: image?.id ?? "",
      topLayer: image?.topLayer,
      path,
      arguments: args,
      config,
      hostConfig: host,
      mounts: [],
      networks: requestedNetworks(host.NetworkMode, requestedConfig.MacAddress, networking),
      cgroupPath: engine.stems.cgroupPath(host.CgroupParent, id),
      state: {
        status: "created",
        pid: 0,
        exitCode: 0,
        error: "",
        oomKilled: false,
        startedAt: zeroTime,
        finishedAt: zeroTime,
      },
      restartCount: 0,
      restartDelayMs: 0,
      stoppedByUser: false,
      health: undefined,
      pending: undefined,
    };
    // Ports that make no sense must fail here, not at start, and patterns that take too long over the labels.
    requestedPorts(record);
    logTarget(record, engine.config);
    const container = await build(engine, record, wanted);
    publish(engine, container, "create");
    if (record.networks[0]?.network === "bridge")
      engine.stems.prepareLinkSoon(id, (namespaceFd) => engine.networks.prepareLink(namespaceFd, "eth0"));
    return { Id: id, Warnings: warnings };
  } catch (error) {
    if (name !== undefined && engine.containers.nameTaken(name) === id) engine.containers.unreserve(name);
    engine.stems.drop(id);
    throw error;
  }
}

/** Not "not-found": clients take that of a create for a missing image, and pull. */
function donorMounts(engine: EngineContext, nameOrId: string): readonly MountPoint[] {
  try {
    return engine.containers.find(nameOrId).record.mounts;
  } catch (error) {
    throw new EngineError("invalid-argument", messageOf(error), { cause: error });
  }
}

/** Layer, directory, volumes, row. What fails takes the others with it. */
async function build(
  engine: EngineContext,
  record: ContainerRecord,
  wanted: readonly WantedMount[],
): Promise<Container> {
  const { directory } = containerPaths(engine.config, record.id);
  await using undo = new AsyncDisposableStack();
  // Until the row is there, a crash leaves a layer and a directory without one: the next start sweeps them away.
  undo.defer(() => engine.files.remove(directory));
  mkdirSync(directory, { mode: 0o710 });
  const layer = engine.store.containers.create(record.id, record.topLayer);
  undo.defer(() => engine.store.containers.remove(record.id));

  const makesMore = wanted.some((mount) => mount.volume !== undefined || mount.image !== undefined);
  if (!makesMore) {
    const container = engine.containers.insert({ ...record, mounts: ensureVolumes(engine.volumes, wanted) });
    undo.move();
    return container;
  }
  // A volume is not swept away by a crash's sweep: the row names the half-made container first.
  const container = engine.containers.insert({ ...record, mounts: plannedMounts(wanted), pending: "creating" });
  undo.defer(() => engine.containers.delete(container));
  undo.defer(() => removeImageLayers(engine, container.record));
  for (const { image } of wanted) if (image !== undefined) createImageLayer(engine, image);
  const made: string[] = [];
  undo.defer(async () => {
    for (const name of made) await engine.volumes.removeIfUnused(name, record.id).catch(() => false);
  });
  const mounts: MountPoint[] = [];
  for (const mount of wanted)
    for (const done of ensureVolumes(engine.volumes, [mount])) {
      mounts.push(done);
      if (done.anonymous && done.name !== undefined && mount.volume !== undefined) made.push(done.name);
    }
  // One that a container uses may be mounted, from a server that is away.
  for (const mount of mounts) if (mount.type === "volume" && mount.copyData) await engine.files.kindOf(mount.source);
  await fillVolumes(engine, layer, mounts);
  engine.containers.publish(container, { mounts });
  undo.move();
  return container;
}

/**
 * Containers whose namespaces are shared, named by their ids: a name may become another's. The processes' and the IPC's must be there now.
 * @throws invalid-argument "No such container: …"
 */
function sharedById(engine: EngineContext, host: HostConfig): HostConfig {
  const byId = (mode: string, required: boolean): string => {
    if (!mode.startsWith("container:")) return mode;
    const name = mode.slice("container:".length);
    const id = findQuietly(engine, name)?.id;
    if (id === undefined && required && name !== "")
      throw new EngineError("invalid-argument", `No such container: ${name}`);
    return id === undefined ? mode : `container:${id}`;
  };
  return {
    ...host,
    NetworkMode: byId(host.NetworkMode, false),
    PidMode: byId(host.PidMode, true),
    IpcMode: byId(host.IpcMode, true),
  };
}

/** The host name: as asked, that of the host, or the first 12 digits of the id. */
function finishConfig(engine: EngineContext, config: ContainerConfig, host: HostConfig, id: string): ContainerConfig {
  const mode = host.NetworkMode;
  const { MacAddress: _moved, ...rest } = config;
  if (mode.startsWith("container:")) {
    // The other's name is used; inspect shows it.
    const other = findQuietly(engine, mode.slice("container:".length));
    return {
      ...rest,
      Hostname: other?.record.config.Hostname ?? "",
      Domainname: other?.record.config.Domainname ?? "",
    };
  }
  if (rest.Hostname !== "") return rest;
  if (mode === "host" || host.UTSMode === "host") return { ...rest, Hostname: hostname() };
  return { ...rest, Hostname: shortId(id) };
}

function findQuietly(engine: EngineContext, nameOrId: string): Container | undefined {
  try {
    return engine.containers.find(nameOrId);
  } catch {
    return undefined;
  }
}

function checkRestart(host: HostConfig): void {
  const { Name, MaximumRetryCount } = host.RestartPolicy;
  checkRestartPolicy(Name, MaximumRetryCount);
  if (host.AutoRemove && Name !== "" && Name !== "no")
    throw new EngineError("invalid-argument", "can't create 'AutoRemove' container with restart policy");
}

/** Shared with update. */
export function checkRestartPolicy(name: string, maximumRetryCount: number): void {
  const invalid = (reason: string): EngineError =>
    new EngineError("invalid-argument", `invalid restart policy: ${reason}`);
  if (!["", "no", "always", "on-failure", "unless-stopped"].includes(name))
    throw invalid(`unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  if (name !== "on-failure" && maximumRetryCount !== 0)
    throw invalid(
      `maximum retry count can only be used with 'on-failure'${maximumRetryCount < 0 ? " and cannot be negative" : ""}`,
    );
  if (maximumRetryCount < 0) throw invalid("maximum retry count cannot be negative");
}

/** An image for another platform than asked, or than this machine is. */
function platformWarnings(image: LocalImage, name: string, platform: Platform | undefined): string[] {
  const { os, architecture, variant } = image.config;
  const here = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };
  const shown = `${os}/${architecture}${variant ? `/${variant}` : ""}`;
  if (platform === undefined) {
    if (os === here.os && architecture === here.architecture) return [];
    return [
      `The requested image's platform (${shown}) does not match the detected host platform (${here.os}/${here.architecture}) and no specific platform was requested`,
    ];
  }
  if (
    platform.os === os &&
    platform.architecture === architecture &&
    (!platform.variant || platform.variant === variant)
  )
    return [];
  const wanted = `${platform.os}/${platform.architecture}${platform.variant ? `/${platform.variant}` : ""}`;
  throw new EngineError(
    "not-found",
    `image with reference ${name} was found but its platform (${shown}) does not match the specified platform (${wanted})`,
  );
}
