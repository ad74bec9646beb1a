/** A container's networks: what was asked at create, endpoints while it runs, and the files in /etc that follow from them. */
import { readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { EngineError, messageOf } from "@fathom/base";
import {
  buildHostnameFile,
  buildHostsFile,
  buildResolvConf,
  checkMacAddress,
  chooseResolvConfPath,
  expandPorts,
  type Endpoint,
  type PortRequest,
  type PreparedLink,
} from "@fathom/network";
import type { ContainerConfig, ContainerCreateRequest, HostConfig } from "@fathom/spec";
import type { Container, ContainerRecord, NetworkAttachment } from "./container.ts";
import type { EngineContext } from "./context.ts";
import { containerPaths } from "./paths.ts";

export type NetworkMode =
  | { readonly kind: "host" }
  | { readonly kind: "none" }
  | { readonly kind: "container"; readonly container: string }
  | { readonly kind: "network"; readonly name: string };

export function parseNetworkMode(mode: string): NetworkMode {
  if (mode === "host") return { kind: "host" };
  if (mode === "none") return { kind: "none" };
  if (mode.startsWith("container:")) return { kind: "container", container: mode.slice("container:".length) };
  return { kind: "network", name: mode === "" || mode === "default" ? "bridge" : mode };
}

/**
 * What does not go together with the network or the host name of another container or of the host.
 * @throws invalid-argument in Docker's words
 */
export function checkNetworkMode(config: ContainerConfig, host: HostConfig): void {
  const conflict = (reason: string): EngineError =>
    new EngineError("invalid-argument", `conflicting options: ${reason}`);
  const mode = parseNetworkMode(host.NetworkMode);
  const links = (host.Links?.length ?? 0) > 0;
  if (host.NetworkMode.split(":")[0] === "container") {
    if (mode.kind !== "container" || mode.container === "")
      throw new EngineError("invalid-argument", "invalid network mode: invalid container format container:<name|id>");
    if (config.Hostname !== "") throw conflict("hostname and the network mode");
    if (links)
      throw conflict("container type network can't be used with links. This would result in undefined behavior");
    if ((host.Dns?.length ?? 0) > 0) throw conflict("dns and the network mode");
    if ((host.ExtraHosts?.length ?? 0) > 0) throw conflict("custom host-to-IP mapping and the network mode");
    if (config.MacAddress) throw conflict("mac-address and the network mode");
    if (Object.keys(host.PortBindings ?? {}).length > 0 || host.PublishAllPorts)
      throw conflict("port publishing and the container type network mode");
    if (Object.keys(config.ExposedPorts ?? {}).length > 0)
      throw conflict("port exposing and the container type network mode");
  }
  if (host.UTSMode === "host" && config.Hostname !== "") throw conflict("hostname and the UTS mode");
  if (mode.kind === "host" && links)
    throw conflict("host type networking can't be used with links. This would result in undefined behavior");
}

/** The networks of a new container: that of its mode, with the settings of NetworkingConfig, and the further ones named there. */
export function requestedNetworks(
  networkMode: string,
  macAddress: string | undefined,
  networking: ContainerCreateRequest["NetworkingConfig"],
): NetworkAttachment[] {
  const mode = parseNetworkMode(networkMode);
  if (mode.kind === "container") return [];
  const primary = mode.kind === "network" ? mode.name : mode.kind;
  // Clients name the default network "default".
  const configs = Object.fromEntries(
    Object.entries(networking.EndpointsConfig).map(([name, config]) => [name === "default" ? "bridge" : name, config]),
  );
  const names = [primary, ...Object.keys(configs).filter((name) => name !== primary)];
  return names.map((network) => {
    const config = configs[network];
    const mac = config?.MacAddress || (network === primary ? macAddress || undefined : undefined);
    if (mac !== undefined) checkMacAddress(mac);
    return {
      network,
      ipv4Address: config?.IPAMConfig?.IPv4Address || undefined,
      macAddress: mac,
      aliases: config?.Aliases ?? null,
      links: config?.Links ?? null,
      driverOptions: config?.DriverOpts ?? null,
      gatewayPriority: config?.GwPriority ?? 0,
      endpoint: undefined,
      networkId: "",
    };
  });
}

export function requestedPorts(record: ContainerRecord): PortRequest[] {
  return expandPorts(
    Object.keys(record.config.ExposedPorts ?? {}),
    record.hostConfig.PortBindings ?? {},
    record.hostConfig.PublishAllPorts === true,
  );
}

/**
 * Connects a starting container. On failure everything is detached again.
 * @throws "failed to set up container networking: …" with the code of the cause
 */
export async function attachNetworks(
  engine: EngineContext,
  container: Container,
  namespaceFd: number | undefined,
  link?: PreparedLink,
): Promise<NetworkAttachment[]> {
  const { record } = container;
  const attached: NetworkAttachment[] = [];
  try {
    for (const [index, wanted] of record.networks.entries()) {
      const network = engine.networks.find(wanted.network);
      if (network === undefined) throw new EngineError("not-found", `network ${wanted.network} not found`);
      let endpoint: Endpoint | undefined;
      if (network.driver === "bridge") {
        if (namespaceFd === undefined)
          throw new EngineError("internal", "a container on a bridge has no network namespace");
        endpoint = await engine.networks.attach({
          containerId: record.id,
          endpointName: record.name,
          namespaceFd,
          networkId: network.id,
          interfaceName: `eth${index}`,
          ports: index === 0 ? requestedPorts(record) : [],
          isDefaultGateway: index === 0,
          ...(link !== undefined && network.name === "bridge" && link.interfaceName === `eth${index}`
            ? { prepared: link }
            : {}),
          ...(wanted.macAddress === undefined ? {} : { macAddress: wanted.macAddress }),
          ...(wanted.ipv4Address === undefined ? {} : { ipv4Address: wanted.ipv4Address }),
        });
      } else if (network.driver === "null" && namespaceFd !== undefined) engine.networks.loopbackUp(namespaceFd);
      attached.push({ ...wanted, endpoint, networkId: network.id });
      engine.events.publish("network", "connect", network.id, {
        container: record.id,
        name: network.name,
        type: network.driver,
      });
    }
    return attached;
  } catch (error) {
    await detachAll(engine, record.id, attached);
    const code = error instanceof EngineError ? error.code : "internal";
    throw new EngineError(code, `failed to set up container networking: ${messageOf(error)}`, { cause: error });
  }
}

/** Gives up the endpoints of a container that has ended. */
export async function detachNetworks(engine: EngineContext, container: Container): Promise<void> {
  await detachAll(engine, container.id, container.record.networks);
}

export async function detachAll(
  engine: EngineContext,
  containerId: string,
  networks: readonly NetworkAttachment[],
): Promise<void> {
  const failures: unknown[] = [];
  for (const attachment of networks) {
    if (attachment.networkId === "") continue;
    try {
      if (attachment.endpoint !== undefined) await engine.networks.detach(attachment.endpoint);
    } catch (error) {
      failures.push(error);
    }
    const network = engine.networks.find(attachment.networkId);
    engine.events.publish("network", "disconnect", attachment.networkId, {
      container: containerId,
      name: network?.name ?? attachment.network,
      type: network?.driver ?? "bridge",
    });
  }
  if (failures.length > 0) throw new AggregateError(failures, "detaching a network failed");
}

/** The endpoints of all containers that run, for `Networks.start` and `reconcile`. */
export function knownEndpoints(containers: Iterable<Container>): Endpoint[] {
  const endpoints: Endpoint[] = [];
  for (const container of containers)
    for (const { endpoint } of container.record.networks) if (endpoint !== undefined) endpoints.push(endpoint);
  return endpoints;
}

/** The host name of a container: its own, or the host's in the host's network or UTS namespace. */
export function effectiveHostname(record: ContainerRecord): string {
  const own = record.config.Hostname ?? "";
  return own !== "" ? own : hostname();
}

/** Writes /etc/hostname and /etc/resolv.conf of a container that does not borrow them. Before its start. */
export function writeStaticFiles(engine: EngineContext, record: ContainerRecord): void {
  const paths = containerPaths(engine.config, record.id);
  writeFileSync(paths.hostname, buildHostnameFile(effectiveHostname(record)), { mode: 0o644 });
  const { Dns, DnsSearch, DnsOptions } = record.hostConfig;
  const mode = parseNetworkMode(record.hostConfig.NetworkMode ?? "");
  const isolated = mode.kind !== "host";
  const hostPath = chooseResolvConfPath(readHostFile("/etc/resolv.conf"));
  const content = buildResolvConf({
    host: readHostFile(hostPath),
    servers: nonEmpty(Dns) ?? engine.config.dns,
    search: nonEmpty(DnsSearch) ?? engine.config.dnsSearch,
    options: nonEmpty(DnsOptions) ?? engine.config.dnsOptions,
    isolated,
  });
  writeFileSync(paths.resolvConf, content, { mode: 0o644 });
}

function nonEmpty(list: readonly string[] | null | undefined): readonly string[] | undefined {
  return list !== null && list !== undefined && list.length > 0 ? list : undefined;
}

/** Writes /etc/hosts; the addresses are known only once the networks are attached. */
export function writeHostsFile(
  engine: EngineContext,
  record: ContainerRecord,
  networks: readonly NetworkAttachment[],
): void {
  const path = containerPaths(engine.config, record.id).hosts;
  const mode = parseNetworkMode(record.hostConfig.NetworkMode ?? "");
  const extraHosts = (record.hostConfig.ExtraHosts ?? []).flatMap((entry) =>
    expandHostGateway(engine, entry, networks),
  );
  if (mode.kind === "host") {
    const own = extraHosts.map(
      (entry) => `${entry.slice(entry.indexOf(":") + 1)}\t${entry.slice(0, entry.indexOf(":"))}\n`,
    );
    writeFileSync(path, readHostFile("/etc/hosts") + own.join(""), { mode: 0o644 });
    return;
  }
  const addresses = networks.flatMap(({ endpoint }) => (endpoint === undefined ? [] : [endpoint.ipv4Address]));
  writeFileSync(
    path,
    buildHostsFile({
      hostname: effectiveHostname(record),
      domainname: record.config.Domainname ?? "",
      addresses,
      extraHosts,
    }),
    { mode: 0o644 },
  );
}

/** "gw:host-gateway" becomes the daemon's addresses for it, or the gateway of the container's first network. */
function expandHostGateway(
  engine: EngineContext,
  entry: string,
  networks: readonly NetworkAttachment[],
): readonly string[] {
  const colon = entry.indexOf(":");
  if (entry.slice(colon + 1) !== "host-gateway") return [entry];
  const configured = engine.config.hostGatewayIps;
  const gateway =
    networks.find(({ endpoint }) => endpoint !== undefined)?.endpoint?.gateway ??
    engine.networks.find("bridge")?.gateway;
  const addresses = configured.length > 0 ? configured : gateway === undefined ? [] : [gateway];
  if (addresses.length === 0)
    throw new EngineError("invalid-argument", "unable to derive the IP value for host-gateway");
  return addresses.map((address) => `${entry.slice(0, colon)}:${address}`);
}

function readHostFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
