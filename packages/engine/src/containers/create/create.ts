/** docker create: checks, names, the record, the layer, the volumes. */
import { specOf, type DockerExtension } from "../docker-extension.ts";
import { hostname } from "node:os";
import { EngineError, formatRfc3339Nano, messageOf, shortId, zeroTime } from "@fathom/base";
import { platformMismatchText, type LocalImage } from "@fathom/images";
import {
  formatPlatform,
  hostPlatform,
  platformMatches,
  type ContainerConfig,
  type ContainerCreateRequest,
  type ContainerCreateResponse,
  type HostConfig,
  type Mount,
  type Platform,
} from "@fathom/spec";
import { commandLine, mergeImageConfig } from "./config-merge.ts";
import {
  type Container,
  type ContainerRecord,
  type MountPoint,
  resolveImageMounts,
  requireSources,
  type WantedMount,
  parseSignal,
  makeContainer,
} from "@fathom/containers";
import { settingsOfOptions } from "@fathom/network";
import { checkNetworkMode, checkRequestedNetworks, requestedNetworks } from "../../networks/container-network.ts";
import { requestedLinks } from "../../networks/links.ts";
import type { CreateRules } from "../../backend.ts";
import type { EngineContext } from "../../context.ts";
import { withHostDefaults } from "./host-config.ts";
import { checkLogSettings, logSettingsOf, logTarget, requireLogSocket } from "../logging/log-config.ts";
import { wantedMounts } from "./mounts/wanted-mounts.ts";
import { inWords } from "../../words/refusal-words.ts";
import { checkName, makeName } from "./names.ts";
import { checkWorkingDirectory } from "./working-directory.ts";

export async function createContainer(
  engine: EngineContext,
  requestedName: string | undefined,
  platform: Platform | undefined,
  body: ContainerCreateRequest,
  rules?: CreateRules,
): Promise<ContainerCreateResponse> {
  const checked = await checkRequest(engine, platform, body, rules);
  const id = engine.stems.newId();
  let name: string | undefined;
  try {
    name =
      requestedName === undefined || requestedName === ""
        ? makeName((candidate) => engine.containers.nameTaken(candidate) !== undefined)
        : checkName(requestedName);
    engine.containers.reserve(name, id);
    const { record, wanted } = recordOf(engine, checked, id, name);
    await makeContainer(engine, record, wanted);
    const [first] = record.networks;
    if (first !== undefined && settingsOfOptions(first.driverOptions).interfaceName === undefined)
      engine.stems.prepareLinkSoon(id, (namespaceFd) => engine.networks.prepareLink(first.network, namespaceFd));
    return { Id: id, Warnings: checked.warnings };
  } catch (error) {
    if (name !== undefined && engine.containers.nameTaken(name) === id) engine.containers.unreserve(name);
    engine.stems.drop(id);
    throw error;
  }
}

/** A checked request, completed with the settings of the image and the daemon. */
export interface CheckedRequest {
  readonly image: LocalImage | undefined;
  readonly config: ContainerConfig;
  readonly host: HostConfig;
  readonly mounts: readonly WantedMount[];
  readonly macAddress: string | undefined;
  readonly networking: ContainerCreateRequest["NetworkingConfig"];
  readonly warnings: string[];
}

/** Makes nothing and reserves nothing. @throws invalid-argument, not-found, conflict in Docker's words */
export async function checkRequest(
  engine: EngineContext,
  platform: Platform | undefined,
  body: ContainerCreateRequest,
  rules?: CreateRules,
): Promise<CheckedRequest> {
  const { HostConfig: requestedHost, NetworkingConfig: networking, ...requestedConfig } = body;
  checkRestart(requestedHost);
  checkNetworkMode(requestedConfig, requestedHost);
  const image = requestedConfig.Image === "" ? undefined : engine.images.lookup(requestedConfig.Image, platform);
  const warnings = image === undefined ? [] : platformWarnings(image, body.Image ?? image.id, platform);
  const config = mergeImageConfig(requestedConfig, image?.config.config ?? {});
  // An image may name a signal that does not exist: then the default one is used.
  if (requestedConfig.StopSignal) parseSignal(requestedConfig.StopSignal);
  const host = sharedById(engine, withHostDefaults(requestedHost, engine.config, engine.oci.defaults));
  checkLogSettings(logSettingsOf(host));
  await requireLogSocket(engine.files, logSettingsOf(host));
  warnings.push(...engine.oci.validate(config, host, body));
  const mounts = wantedMounts(config, host, {
    dataRoot: engine.config.dataRoot,
    donor: (from) => donorMounts(engine, from),
    rules,
  });
  await requireSources(engine.files, sourcesThatNobodyMakes(host.Mounts ?? []));
  if (!["", "/"].includes(requestedConfig.WorkingDir)) checkWorkingPlace(engine, image, requestedConfig.WorkingDir);
  return { image, config, host, mounts, macAddress: requestedConfig.MacAddress, networking, warnings };
}

/** Only for a directory that the user chose: an image that was built has its own. */
function checkWorkingPlace(engine: EngineContext, image: LocalImage | undefined, path: string): void {
  const rootFd = engine.store.snapshots.openChain(image?.topLayer);
  try {
    checkWorkingDirectory(engine.sys, rootFd, path);
  } finally {
    engine.sys.close(rootFd);
  }
}

/** Sources of `--mount type=bind`; `-v` makes a missing source. */
function sourcesThatNobodyMakes(mounts: readonly Mount[]): string[] {
  return mounts.flatMap(({ Type, Source = "", BindOptions }) =>
    Type === "bind" && BindOptions?.CreateMountpoint !== true ? [Source] : [],
  );
}

/** The record of the container that such a request makes. Nothing exists yet, not even volumes. */
export function recordOf(
  engine: EngineContext,
  { image, config: merged, host, mounts, macAddress, networking }: CheckedRequest,
  id: string,
  name: string,
): { readonly record: ContainerRecord; readonly wanted: readonly WantedMount[] } {
  const config = finishConfig(engine, merged, host, id);
  const wanted = resolveImageMounts(engine, id, mounts);
  const { path, arguments: args } = commandLine(config);
  // Invalid ports are rejected here, not at start.
  const extension: DockerExtension = { config, hostConfig: host };
  const links = requestedLinks(engine, host);
  const record: ContainerRecord = {
    id,
    name,
    createdAt: formatRfc3339Nano(engine.clock.nowNs()),
    imageId: image?.id ?? "",
    topLayer: image?.topLayer,
    path,
    arguments: args,
    spec: specOf(extension),
    extension,
    mounts: [],
    networks: checkRequestedNetworks(engine, requestedNetworks(host.NetworkMode, macAddress, networking)),
    ...(links === undefined ? {} : { links }),
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
  // So are patterns that take too long on the labels.
  logTarget(record, engine.config);
  return { record, wanted };
}

/** Not "not-found": a client would think that the image is missing, and pull it. */
function donorMounts(engine: EngineContext, nameOrId: string): readonly MountPoint[] {
  try {
    return engine.containers.find(nameOrId).record.mounts;
  } catch (error) {
    throw new EngineError("invalid-argument", messageOf(inWords(error)), { cause: error });
  }
}

/**
 * Containers whose namespaces are shared, by id, because another container may get the name later. For process and IPC namespaces they must
 * exist now.
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

/** The host name: the requested one, the host's, or the first 12 digits of the id. */
function finishConfig(engine: EngineContext, config: ContainerConfig, host: HostConfig, id: string): ContainerConfig {
  const mode = host.NetworkMode;
  const { MacAddress: _moved, ...rest } = config;
  if (mode.startsWith("container:")) {
    // The other container's name is used; inspect shows it.
    const other = findQuietly(engine, mode.slice("container:".length))?.record.spec;
    return { ...rest, Hostname: other?.hostname ?? "", Domainname: other?.domainname ?? "" };
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

/** Also used by update. */
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

/** An image for another platform than the requested one, or than this machine's. */
function platformWarnings(image: LocalImage, name: string, platform: Platform | undefined): string[] {
  const own = image.config;
  if (platform === undefined) {
    const { os, architecture } = hostPlatform();
    if (own.os === os && own.architecture === architecture) return [];
    return [
      `The requested image's platform (${formatPlatform(own)}) does not match the detected host platform (${os}/${architecture}) and no specific platform was requested`,
    ];
  }
  if (platformMatches(platform, own)) return [];
  throw new EngineError("not-found", platformMismatchText(name, own, platform));
}
