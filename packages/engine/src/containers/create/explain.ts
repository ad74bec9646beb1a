/**
 * `fathom explain run`: runs the planner on the record of a container that does not exist. It makes nothing: no row, no name, no layer, no
 * volume, no process, no cgroup, no event.
 */
import { joinedNamespaces, translate, type ContainerRecord, previewMounts } from "@fathom/containers";
import { randomId } from "@fathom/base";
import { explain } from "@fathom/runtime";
import type { PortRequest } from "@fathom/network";
import type { ContainerCreateRequest, Platform } from "@fathom/spec";
import { dockerOf } from "../docker-extension.ts";
import { checkRequest, recordOf } from "./create.ts";
import { checkName } from "./names.ts";
import type { EngineContext } from "../../context.ts";
import { parseNetworkMode } from "../../networks/network-mode.ts";

/** @throws as a create: also for a name that another container has, and for an image of another platform */
export async function explainRun(
  engine: EngineContext,
  requestedName: string | undefined,
  platform: Platform | undefined,
  body: ContainerCreateRequest,
): Promise<{ Text: string }> {
  const checked = await checkRequest(engine, platform, body);
  const id = randomId();
  const name = requestedName ? freeName(engine, requestedName, id) : "explained";
  const { record: planned, wanted } = recordOf(engine, checked, id, name);
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

/** A name that a container could get now. @throws invalid-argument, conflict */
function freeName({ containers }: EngineContext, requested: string, id: string): string {
  const name = checkName(requested);
  containers.reserve(name, id);
  containers.unreserve(name);
  return name;
}

/** What the start will attach. Addresses and free ports are chosen only at that time. */
function networkLines(record: ContainerRecord): string[] {
  const { hostConfig } = dockerOf(record);
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
  return [`an interface in the network ${mode.name}, with an address of its own`, ...record.spec.ports.map(portLine)];
}

function portLine({ protocol, containerPort, hostIp, hostPortFirst, hostPortLast }: PortRequest): string {
  const port = hostPortFirst === hostPortLast ? String(hostPortFirst) : `${hostPortFirst}-${hostPortLast}`;
  const place =
    hostPortFirst === 0
      ? `a free port of ${hostIp || "the host"}`
      : `${hostIp === "" ? "port " : `${hostIp}:`}${port} of the host`;
  return `port ${containerPort}/${protocol} published at ${place}`;
}
