/** Ports of the host: on IPv4, reserved by a socket that never answers, because the kernel redirects; on IPv6, opened for a forwarder. */
import type { Sys } from "@fathom/sys";
import type { Protocol } from "../contract.ts";
import type { PortTarget } from "./forwarders.ts";
import { isForwarded, PortUnavailable, type Reserver } from "./port-allocator.ts";
import { isErrno } from "@fathom/base";

const reasons = {
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "cannot assign requested address",
  EACCES: "permission denied",
  EPROTONOSUPPORT: "protocol not supported",
  ESOCKTNOSUPPORT: "socket type not supported",
} as const;

/**
 * @param ipv6 Whether ports are also published on IPv6 addresses: the host has IPv6 and the user has not turned off the proxy. SCTP is never
 * forwarded: on IPv6 its port is only reserved.
 */
export function createReserver(sys: Pick<Sys, "reservePort" | "listenPort" | "close">, ipv6: boolean): Reserver {
  const opened = (open: () => number): number => {
    try {
      return open();
    } catch (error) {
      for (const [name, reason] of Object.entries(reasons))
        if (isErrno(error, name)) throw new PortUnavailable(reason, { cause: error });
      throw error;
    }
  };
  return {
    ipv6,
    reserve: (protocol: Protocol, hostIp: string, port: number, target: PortTarget) => {
      if (protocol === "sctp" || !isForwarded({ protocol, hostIp, hostPort: port })) {
        const fd = opened(() => sys.reservePort(protocol, hostIp, port));
        return { [Symbol.dispose]: () => sys.close(fd) };
      }
      const fd = opened(() => sys.listenPort(protocol, hostIp, port));
      return { listener: { protocol, fd, target }, [Symbol.dispose]: () => sys.close(fd) };
    },
  };
}
