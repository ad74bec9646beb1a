/**
 * `fathom explain run`: runs the planner on the record of a container that does not exist. It makes nothing: no row, no name, no layer, no
 * volume, no process, no cgroup, no event.
 */
import { joinedNamespaces, translate, type ContainerRecord, previewMounts } from "@fathom/containers";
import { randomId } from "@fathom/base";
import { explain } from "@fathom/runtime";
import type { ContainerCreateRequest } from "@fathom/spec";
import { dockerOf } from "../docker-extension.ts";
import { checkRequest, recordOf } from "./create.ts";
import type { EngineContext } from "../../context.ts";
import { parseNetworkMode } from "../../networks/network-mode.ts";

export async function explainRun(engine: EngineContext, body: ContainerCreateRequest): Promise<{ Text: string }> {
  const checked = await checkRequest(engine, undefined, body);
  const { record: planned, wanted } = recordOf(engine, checked, randomId(), "explained");
  const record = { ...planned, mounts: previewMounts(engine.volumes, wanted) };
  const joins = joinedNamespaces(engine, record);
  const layer = engine.store.snapshots.preview(record.id, record.topLayer);
  const rootFd = engine.store.snapshots.openChain(record.topLayer);
  try {
    const translation = await translate(engine, record, rootFd, layer, joins);
    const { resources } = translation;
    const plan = translation.compile(engine.cgroups.open(record.cgroupPath));
    return { Text: explain(plan, { resources, network: networkLines(record) }) };
  } finally {
    engine.sys.close(rootFd);
  }
}

/** What the start will attach. Addresses and free ports are chosen only at that time. */
function networkLines(record: ContainerRecord): string[] {
  const { hostConfig, config } = dockerOf(record);
  const mode = parseNetworkMode(hostConfig.NetworkMode);
  switch (mode.kind) {
    case "host":
      return ["the host's own: its interfaces, addresses and ports"];
    case "none":
      return ["none: only the loopback interface"];
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
