/** Ports of the host: held by a silent socket on IPv4, forwarded by the daemon on IPv6. */
import type { Sys } from "@fathom/sys";
import type { Protocol } from "./contract.ts";
import { forwardTcp, forwardUdp } from "./forwarder.ts";
import { familyOf } from "./ip.ts";
import { isErrno, PortUnavailable, type PortTarget, type Reserver } from "./port-allocator.ts";

const reasons = {
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "cannot assign requested address",
  EACCES: "permission denied",
  EPROTONOSUPPORT: "protocol not supported",
  ESOCKTNOSUPPORT: "socket type not supported",
} as const;

/**
 * @param ipv6 Whether ports are published on IPv6 addresses too: the host has IPv6 and the user has not turned the proxy off. SCTP is never
 * forwarded: on IPv6 its port is only held.
 */
export function createReserver(sys: Pick<Sys, "reservePort" | "close">, ipv6: boolean): Reserver {
  const hold = (protocol: Protocol, hostIp: string, port: number): Disposable => {
    try {
      const fd = sys.reservePort(protocol, hostIp, port);
      return { [Symbol.dispose]: () => sys.close(fd) };
    } catch (error) {
      for (const [name, reason] of Object.entries(reasons))
        if (isErrno(error, name)) throw new PortUnavailable(reason, { cause: error });
      throw error;
    }
  };
  return {
    ipv6,
    reserve: (protocol: Protocol, hostIp: string, port: number, target: PortTarget): Disposable => {
      if (familyOf(hostIp) === 4 || protocol === "sctp") return hold(protocol, hostIp, port);
      return protocol === "tcp" ? forwardTcp(hostIp, port, target) : forwardUdp(hostIp, port, target);
    },
  };
}
