/**
 * Which host ports are taken, and by whom. There are two parts: a table of the ports that this engine gave out (`taken`), and a socket of the
 * host per port (`Reserver`). With the socket, no other program can take the port silently, and a port of another program is noticed before the
 * container starts.
 */
import { EngineError } from "@fathom/base";
import type { Family, PortBinding, PortRequest, Protocol } from "../contract.ts";
import type { EphemeralRange } from "./ephemeral-range.ts";
import type { ForwardListener, PortTarget } from "./forwarders.ts";
import { TakenPorts, type PortLease, type Reservation } from "./port-lease.ts";
import type { ReopenedPorts } from "./forwarder-keeper.ts";
import { canonicalIpv6, familyOf, formatHostPort } from "../ipam/ip.ts";

/** Takes ports of the host. */
export interface Reserver {
  /** Throws a PortUnavailable when the host rejects the port. */
  reserve(protocol: Protocol, hostIp: string, port: number, target: PortTarget): Reservation;
  /** False when publishing on IPv6 addresses is impossible (no IPv6 on the host, no proxy). */
  readonly ipv6: boolean;
}

/** Why the host rejected a port, in libc's words: "address already in use". */
export class PortUnavailable extends Error {
  constructor(
    readonly reason: string,
    options?: { cause?: unknown },
  ) {
    super(reason, options);
    this.name = "PortUnavailable";
  }
}

/** Host addresses of one request: they all get the same port. */
interface Group {
  readonly protocol: Protocol;
  readonly containerPort: number;
  readonly first: number;
  readonly last: number;
  readonly addresses: string[];
}

const protocolOrder: readonly Protocol[] = ["tcp", "udp", "sctp"];
const anyIpv4 = "0.0.0.0";
const anyIpv6 = "::";

export class PortAllocator {
  /** protocol → address → ports. */
  readonly #taken = new Map<string, Map<string, Set<number>>>();
  /** Where the search in a range starts: after the port that was given out last. */
  readonly #lastGiven = new Map<string, number>();
  readonly #reserver: Reserver;
  readonly #ephemeral: () => EphemeralRange;

  constructor(reserver: Reserver, ephemeral: () => EphemeralRange) {
    this.#reserver = reserver;
    this.#ephemeral = ephemeral;
  }

  /**
   * All requests or none. `containerAddress` is the target of the ports, for those that the engine forwards itself; `bindAddress` is for
   * requests without an address. In `routed` families the container's own ports are open, and no port of the host is taken.
   * @throws EngineError conflict "Bind for 0.0.0.0:80 failed: port is already allocated", "all ports are allocated", or "failed to bind host
   * port 0.0.0.0:80/tcp: address already in use".
   */
  allocate(
    requests: readonly PortRequest[],
    containerAddress: string,
    bindAddress: string,
    routed: readonly Family[] = [],
  ): PortLease {
    const lease = new TakenPorts(this.#taken);
    try {
      // The kernel redirects within IPv4 only, so a target with only IPv6 has ports on IPv6 addresses alone.
      const families = ([4, 6] as const).filter(
        (family) => !routed.includes(`ipv${family}`) && (family === 6 || familyOf(containerAddress) !== 6),
      );
      for (const { protocol, containerPort } of routed.length === 0 ? [] : distinct(requests))
        for (const family of routed)
          lease.add({ protocol, containerPort, hostIp: family === "ipv4" ? anyIpv4 : anyIpv6, hostPort: 0 }, undefined);
      for (const group of this.#groups(requests, bindAddress, families))
        this.#allocateGroup(group, containerAddress, lease);
      return lease;
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Takes the ports of a running endpoint. A port that the host rejects stays taken in the table, because its rules still answer.
   * `forwarded`: its forwarder runs, and has its sockets.
   * @returns the rejections, for the log.
   */
  restore(
    bindings: readonly PortBinding[],
    containerAddress: string,
    forwarded: boolean,
  ): { readonly lease: PortLease; readonly refused: readonly string[] } {
    const lease = new TakenPorts(this.#taken);
    const refused: string[] = [];
    for (const binding of bindings) {
      let socket: Reservation | undefined;
      if (binding.hostPort !== 0)
        try {
          const target = { address: containerAddress, port: binding.containerPort };
          if (!forwarded || !isForwarded(binding))
            socket = this.#reserver.reserve(binding.protocol, binding.hostIp, binding.hostPort, target);
        } catch (error) {
          if (!(error instanceof PortUnavailable)) throw error;
          refused.push(
            `host port ${formatHostPort(binding.hostIp, binding.hostPort)}/${binding.protocol} could not be taken again: ${error.reason}`,
          );
        }
      lease.add(binding, socket);
    }
    return { lease, refused };
  }

  /** Sockets for the forwarder of an endpoint that has its ports but whose forwarder has ended. */
  reopen(bindings: readonly PortBinding[], containerAddress: string): ReopenedPorts {
    const sockets = new DisposableStack();
    const listeners: ForwardListener[] = [];
    const refused: string[] = [];
    try {
      for (const { protocol, hostIp, hostPort, containerPort } of bindings.filter(isForwarded))
        try {
          const target = { address: containerAddress, port: containerPort };
          const { listener } = sockets.use(this.#reserver.reserve(protocol, hostIp, hostPort, target));
          if (listener !== undefined) listeners.push(listener);
        } catch (error) {
          if (!(error instanceof PortUnavailable)) throw error;
          refused.push(
            `host port ${formatHostPort(hostIp, hostPort)}/${protocol} could not be taken again: ${error.reason}`,
          );
        }
    } catch (error) {
      sockets.dispose();
      throw error;
    }
    return { listeners, refused, [Symbol.dispose]: () => sockets.dispose() };
  }

  /** Requests that differ only in the host address belong together. Exact ports come before ranges that may contain them. */
  #groups(requests: readonly PortRequest[], bindAddress: string, families: readonly (4 | 6)[]): Group[] {
    const groups = new Map<string, Group>();
    for (const request of requests) {
      const key = `${request.containerPort}/${request.protocol} ${request.hostPortFirst}-${request.hostPortLast}`;
      let group = groups.get(key);
      if (group === undefined) {
        const { protocol, containerPort, hostPortFirst: first, hostPortLast: last } = request;
        groups.set(key, (group = { protocol, containerPort, first, last, addresses: [] }));
      }
      const addresses = this.#addressesOf(request.hostIp, bindAddress);
      group.addresses.push(...addresses.filter((address) => families.includes(familyOf(address) ?? 4)));
    }
    const isRange = (group: Group): boolean => group.first === 0 || group.first !== group.last;
    return [...groups.values()].sort(
      (a, b) =>
        Number(isRange(a)) - Number(isRange(b)) ||
        a.containerPort - b.containerPort ||
        protocolOrder.indexOf(a.protocol) - protocolOrder.indexOf(b.protocol) ||
        a.first - b.first,
    );
  }

  #addressesOf(hostIp: string, bindAddress: string): string[] {
    const address = hostIp === "" ? bindAddress : hostIp;
    if (familyOf(address) === 6) return this.#reserver.ipv6 ? [canonicalIpv6(address)] : [];
    return hostIp === "" && address === anyIpv4 && this.#reserver.ipv6 ? [anyIpv4, anyIpv6] : [address];
  }

  #allocateGroup(group: Group, containerAddress: string, lease: TakenPorts): void {
    if (group.addresses.length === 0) return;
    if (group.first !== 0 && group.first === group.last) {
      const holder = this.#holder(group, group.first);
      if (holder !== undefined)
        throw new EngineError(
          "conflict",
          `Bind for ${formatHostPort(holder, group.first)} failed: port is already allocated`,
        );
      this.#takePort(group, group.first, containerAddress, lease);
      return;
    }
    const ephemeral = group.first === 0 ? this.#ephemeral() : undefined;
    const first = ephemeral?.first ?? group.first;
    const last = ephemeral?.last ?? group.last;
    const rangeKey = `${group.protocol} ${first}-${last}`;
    let port = this.#lastGiven.get(rangeKey) ?? last;
    let refusal: unknown;
    for (let tries = first; tries <= last; tries++) {
      port = port >= last ? first : port + 1;
      if (ephemeral?.excluded.has(port) || this.#holder(group, port) !== undefined) continue;
      try {
        this.#takePort(group, port, containerAddress, lease);
      } catch (error) {
        if (!isBusy(error)) throw error;
        refusal = error;
        continue;
      }
      this.#lastGiven.set(rangeKey, port);
      return;
    }
    throw refusal ?? new EngineError("conflict", "all ports are allocated");
  }

  /** The address on which `port` is taken already; an unspecified address collides with every address of its family. */
  #holder(group: Group, port: number): string | undefined {
    const byAddress = this.#taken.get(group.protocol);
    if (byAddress === undefined) return undefined;
    for (const address of group.addresses) {
      for (const [other, ports] of byAddress) {
        if (!ports.has(port) || familyOf(other) !== familyOf(address)) continue;
        if (other === address || isUnspecified(other) || isUnspecified(address)) return other;
      }
    }
    return undefined;
  }

  /** Reserves one port on all addresses of the group, or on none. */
  #takePort(group: Group, port: number, containerAddress: string, lease: TakenPorts): void {
    const target = { address: containerAddress, port: group.containerPort };
    const sockets: Reservation[] = [];
    try {
      for (const address of group.addresses) {
        try {
          sockets.push(this.#reserver.reserve(group.protocol, address, port, target));
        } catch (error) {
          if (!(error instanceof PortUnavailable)) throw error;
          throw new EngineError(
            "conflict",
            `failed to bind host port ${formatHostPort(address, port)}/${group.protocol}: ${error.reason}`,
            { cause: error },
          );
        }
      }
    } catch (error) {
      for (const socket of sockets) socket[Symbol.dispose]();
      throw error;
    }
    group.addresses.forEach((hostIp, index) => {
      lease.add(
        { protocol: group.protocol, containerPort: group.containerPort, hostIp, hostPort: port },
        sockets[index],
      );
    });
  }
}

/** The kernel does not redirect this port: a forwarder handles it. */
export function isForwarded({
  protocol,
  hostIp,
  hostPort,
}: Pick<PortBinding, "protocol" | "hostIp" | "hostPort">): boolean {
  return familyOf(hostIp) === 6 && protocol !== "sctp" && hostPort !== 0;
}

/** Each port of the container once. */
function distinct(requests: readonly PortRequest[]): PortRequest[] {
  return [...new Map(requests.map((one) => [`${one.containerPort}/${one.protocol}`, one])).values()];
}

function isUnspecified(address: string): boolean {
  return address === anyIpv4 || address === anyIpv6;
}

/** Another program has the port: in a range the next one is tried. */
function isBusy(error: unknown): boolean {
  return (
    error instanceof EngineError &&
    error.cause instanceof PortUnavailable &&
    error.cause.reason === "address already in use"
  );
}
