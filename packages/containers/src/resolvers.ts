/** How the programs of a container find names: its /etc/resolv.conf, and what its resolver in user-defined networks asks. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import {
  buildResolvConf,
  chooseResolvConfPath,
  resolvConfPath,
  resolverSettings,
  type NetworkedContainers,
  type ResolvConfRequest,
} from "@fathom/network";
import type { Supervisor } from "@fathom/runtime";
import { hostText } from "@fathom/sys";
import type { Container } from "./container.ts";
import type { ContainersContext } from "./context.ts";
import { openNetworkNamespace } from "./network-namespace.ts";
import { containerPaths } from "./paths.ts";
import type { ContainerRecord } from "./record.ts";
import { findNetwork } from "./steps/networks.ts";

/** The host's settings, and the user's for this container or for all. */
function requestOf({ config }: Pick<ContainersContext, "config">, { spec }: ContainerRecord): ResolvConfRequest {
  const { dns, network } = spec;
  const host = hostText(resolvConfPath) ?? "";
  const hostPath = chooseResolvConfPath(host);
  return {
    host: hostPath === resolvConfPath ? host : (hostText(hostPath) ?? ""),
    servers: nonEmpty(dns.servers) ?? config.dns,
    search: nonEmpty(dns.search) ?? config.dnsSearch,
    options: nonEmpty(dns.options) ?? config.dnsOptions,
    isolated: network.kind !== "host",
  };
}

function nonEmpty(list: readonly string[]): readonly string[] | undefined {
  return list.length > 0 ? list : undefined;
}

type Writer = Pick<ContainersContext, "config" | "networks">;

/** A container in a user-defined network has a resolver. */
function hasResolver(engine: Writer, { networks }: ContainerRecord): boolean {
  return networks.some((attachment) => findNetwork(engine, attachment)?.builtin === false);
}

/** Writes /etc/resolv.conf. */
export function writeResolvConf(engine: Writer, record: ContainerRecord): void {
  const content = buildResolvConf({ ...requestOf(engine, record), resolver: hasResolver(engine, record) });
  // The file is bound into the container, so it must stay the same file.
  writeFileSync(containerPaths(engine.config, record.id).resolvConf, content, { mode: 0o644 });
}

/**
 * A running container was connected: with its first user-defined network it has a resolver, and keeps it from then on. A file that somebody has
 * changed stays as it is.
 */
export function changeResolvConf(engine: Writer, before: ContainerRecord, after: ContainerRecord): void {
  if (hasResolver(engine, before) || !hasResolver(engine, after)) return;
  const path = containerPaths(engine.config, after.id).resolvConf;
  const written = buildResolvConf({ ...requestOf(engine, before), resolver: false });
  // The container can make it as long as it likes.
  if (statSync(path).size === Buffer.byteLength(written) && readFileSync(path, "utf8") === written)
    writeResolvConf(engine, after);
}

/** @param found Containers that run, before they have been taken up. */
export function networkedContainers(
  engine: Pick<ContainersContext, "config" | "containers" | "sys">,
  found: ReadonlyMap<string, Supervisor>,
): NetworkedContainers {
  return {
    resolver: (containerId) => {
      const container = engine.containers.byId(containerId);
      return container === undefined
        ? { servers: [], asksSingleLabels: true }
        : resolverSettings(requestOf(engine, container.record));
    },
    openNamespace: (containerId) => {
      const container = engine.containers.byId(containerId);
      const supervisor = container?.process?.supervisor ?? found.get(containerId);
      return supervisor === undefined ? undefined : openNetworkNamespace(engine.sys, supervisor);
    },
  };
}

/** A running container was renamed: others in its networks find it by its new name. */
export async function renameInNetworks(
  engine: Pick<ContainersContext, "containers" | "networks">,
  container: Container,
): Promise<void> {
  const { id, name, networks } = container.record;
  const sandbox = engine.networks.sandbox({ containerId: id, containerName: name });
  for (const { endpoint } of networks) {
    if (endpoint === undefined || endpoint.names.length === 0) continue;
    // The container's own name is the first one.
    await sandbox.rename(endpoint.endpointId, [...new Set([name, ...endpoint.names.slice(1)])]);
  }
  const { endpoints } = sandbox;
  engine.containers.update(container, {
    networks: container.record.networks.map((attachment) => ({
      ...attachment,
      endpoint: endpoints.find(({ endpointId }) => endpointId === attachment.endpoint?.endpointId),
    })),
  });
}
