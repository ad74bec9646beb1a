/**
 * `fathom explain run`: the launch plan of a container that is made for the question and removed again. Nothing is launched, no network is
 * attached.
 */
import { explain } from "@fathom/runtime";
import type { ContainerCreateRequest } from "@fathom/spec";
import { createContainer } from "./container-create.ts";
import { removeContainer } from "./container-remove.ts";
import { parseNetworkMode } from "./container-network.ts";
import type { ContainerRecord } from "./container.ts";
import type { EngineContext } from "./context.ts";
import { discard } from "./stems.ts";
import { joinedNamespaces, translate } from "./translate.ts";

export async function explainRun(engine: EngineContext, body: ContainerCreateRequest): Promise<{ Text: string }> {
  // Named volumes that only the question made go with it.
  const isNew = (name: string | undefined): name is string => name !== undefined && !before.has(name);
  const before = new Set(engine.volumes.volumeNames());
  const { Id } = await createContainer(engine, undefined, undefined, body);
  const container = engine.containers.find(Id);
  try {
    const joins = joinedNamespaces(engine, container.record);
    const layer = engine.store.containers.get(Id)!;
    const rootFd = engine.sys.openOverlay(layer.mount);
    try {
      const translation = await translate(engine, container, rootFd, layer, joins);
      // A cgroup of its own, as for the run: the plan names its files.
      const stem = await engine.stems.claim(
        Id,
        container.record.cgroupPath,
        (cgroup) => translation.compile(cgroup).stem,
      );
      try {
        const { resources } = translation;
        return {
          Text: explain(translation.compile(stem.cgroup), { resources, network: networkLines(container.record) }),
        };
      } finally {
        await discard(stem);
      }
    } finally {
      engine.sys.close(rootFd);
    }
  } finally {
    const made = container.record.mounts.map((mount) => mount.name).filter(isNew);
    await engine.mutex.run(Id, () => removeContainer(engine, container, { volumes: true }));
    for (const name of made) await engine.volumes.removeIfUnused(name, Id);
  }
}

/** What the start will attach; addresses and free ports are chosen only then. */
function networkLines({ hostConfig, config }: ContainerRecord): string[] {
  const mode = parseNetworkMode(hostConfig.NetworkMode);
  switch (mode.kind) {
    case "host":
      return ["the host's own: its interfaces, addresses and ports"];
    case "none":
      return ["none: the loopback interface alone"];
    case "container":
      return [`that of the container ${mode.container}`];
    case "network":
      break;
  }
  const published = Object.entries(hostConfig.PortBindings ?? {}).flatMap(([port, bindings]) =>
    (bindings ?? []).map(
      ({ HostIp, HostPort }) =>
        `port ${port} published at ${HostPort === "" ? `a free port of ${HostIp || "the host"}` : `${HostIp === "" ? "port " : `${HostIp}:`}${HostPort} of the host`}`,
    ),
  );
  const rest = hostConfig.PublishAllPorts
    ? Object.keys(config.ExposedPorts ?? {}).filter((port) => (hostConfig.PortBindings?.[port] ?? []).length === 0)
    : [];
  return [
    `an interface in the network ${mode.name}, with an address of its own`,
    ...published,
    ...rest.map((port) => `port ${port} published at a free port of the host`),
  ];
}
