/** The files in /etc that depend on a container's networks: hostname, resolv.conf and hosts. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import {
  buildHostnameFile,
  buildHostsFile,
  changeHostsFile,
  gatewayOf,
  ownAddresses,
  type Endpoint,
} from "@fathom/network";
import { hostText } from "@fathom/sys";
import type { ContainersContext } from "../context.ts";
import { effectiveHostname } from "../host-name.ts";
import { containerPaths } from "../paths.ts";
import { ContainerProblem } from "../problem.ts";
import type { ContainerRecord, NetworkAttachment } from "../record.ts";
import { linkHosts } from "../links.ts";
import { writeResolvConf } from "../resolvers.ts";

const largestHostsFile = 1024 * 1024;

/** Writes /etc/hostname and /etc/resolv.conf of a container that does not use another's. Before its start. */
export function writeStaticFiles(engine: ContainersContext, record: ContainerRecord): void {
  const paths = containerPaths(engine.config, record.id);
  writeFileSync(paths.hostname, buildHostnameFile(effectiveHostname(record)), { mode: 0o644 });
  writeResolvConf(engine, record);
}

/** Writes /etc/hosts. The addresses are known only after the networks are attached. */
export function writeHostsFile(
  engine: ContainersContext,
  record: ContainerRecord,
  networks: readonly NetworkAttachment[],
): void {
  const path = containerPaths(engine.config, record.id).hosts;
  const { network, extraHosts: asked, domainname } = record.spec;
  const extraHosts = asked.flatMap((entry) => expandHostGateway(engine, entry, networks));
  if (network.kind === "host") {
    const own = extraHosts.map(
      (entry) => `${entry.slice(entry.indexOf(":") + 1)}\t${entry.slice(0, entry.indexOf(":"))}\n`,
    );
    writeFileSync(path, (hostText("/etc/hosts") ?? "") + own.join(""), { mode: 0o644 });
    return;
  }
  const own = buildHostsFile({
    hostname: effectiveHostname(record),
    domainname,
    addresses: ownAddresses(endpointsOf(networks)),
    extraHosts,
  });
  const links = linkHosts(engine, record, networks).map((line) => `${line}\n`);
  writeFileSync(path, own + links.join(""), { mode: 0o644 });
}

/** After a running container was connected or disconnected: its own lines in /etc/hosts change, and a user's lines stay. */
export function changeHostsLines(
  engine: ContainersContext,
  record: ContainerRecord,
  { before, after }: Record<"before" | "after", readonly NetworkAttachment[]>,
): void {
  const path = containerPaths(engine.config, record.id).hosts;
  const own = (networks: readonly NetworkAttachment[]) => ({
    hostname: effectiveHostname(record),
    domainname: record.spec.domainname,
    addresses: ownAddresses(endpointsOf(networks)),
  });
  // The container can write into it.
  const { size } = statSync(path);
  if (size > largestHostsFile)
    return engine.logger.warn("the hosts file of a container is too large to be changed", { id: record.id, size });
  // The file is bound into the container, so it must stay the same file.
  writeFileSync(path, changeHostsFile(readFileSync(path, "utf8"), own(before), own(after)));
}

function endpointsOf(networks: readonly NetworkAttachment[]): Endpoint[] {
  return networks.flatMap(({ endpoint }) => endpoint ?? []);
}

/** "gw:host-gateway" becomes the daemon's addresses for it, or the gateway of the default network, as in Docker, or the container's own gateway. */
function expandHostGateway(
  engine: ContainersContext,
  entry: string,
  networks: readonly NetworkAttachment[],
): readonly string[] {
  const colon = entry.indexOf(":");
  if (entry.slice(colon + 1) !== "host-gateway") return [entry];
  const configured = engine.config.hostGatewayIps;
  const gateway =
    engine.networks.defaultNetwork()?.pools.find(({ family }) => family === "ipv4")?.gateway ??
    gatewayOf(endpointsOf(networks), "ipv4")?.gateways.ipv4;
  const addresses = configured.length > 0 ? configured : gateway === undefined ? [] : [gateway];
  if (addresses.length === 0) throw new ContainerProblem({ kind: "no-host-gateway" });
  return addresses.map((address) => `${entry.slice(0, colon)}:${address}`);
}
