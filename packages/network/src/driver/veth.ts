/** A container's interface: a veth pair, one end a port of the bridge, the other in the container's namespace. */
import { EngineError } from "@fathom/base";
import type { JoinedLink } from "./driver.ts";
import { NetlinkError, type NetlinkConnection } from "../netlink/connection.ts";
import { decodeLinks } from "../netlink/route-decode.ts";
import { changeLink, createVethPair, deleteLink, getLink } from "../netlink/route.ts";

export interface LinkSettings {
  readonly bridgeIndex: number;
  readonly mtu: number;
  /** Frames may go out by the port they came in by: needed where bridged packets pass the rule set (br_netfilter). */
  readonly hairpin: boolean;
  /** Ports of the bridge do not see each other. */
  readonly isolated: boolean;
}

const nameAttempts = 8;

function randomName(): string {
  const [value] = crypto.getRandomValues(new Uint32Array(1));
  return `veth${(value! & 0xfffffff).toString(16).padStart(7, "0")}`;
}

/**
 * Makes the pair: both ends exist and are wired, the container's end is down and has no address. It needs to know neither address nor container, so it may be done in advance for a namespace.
 * @throws NetlinkError; nothing is left then.
 */
export function makePair(
  route: NetlinkConnection,
  settings: LinkSettings,
  namespaceFd: number,
  interfaceName: string,
): JoinedLink {
  for (let attempt = 1; ; attempt++) {
    const name = randomName();
    const peer = { name: interfaceName, namespaceFd };
    try {
      const answers = route.send([
        createVethPair({ name, mtu: settings.mtu, masterIndex: settings.bridgeIndex, peer }),
        // No link-local IPv6 address: the link has no carrier yet, so the kernel makes none before it reads that.
        changeLink(name, {
          up: true,
          noIpv6LinkLocal: true,
          ...(settings.hairpin || settings.isolated
            ? { bridgePort: { hairpin: settings.hairpin, isolated: settings.isolated } }
            : {}),
        }),
        getLink(name),
      ]);
      const link = decodeLinks(answers)[0];
      if (link === undefined || link.peerIndex === 0)
        throw new EngineError("internal", `interface ${name} vanished while it was set up`);
      return { hostInterface: name, index: link.peerIndex };
    } catch (error) {
      // EEXIST may be either name: the host's is random, so another try tells; the container's stays.
      const taken = error instanceof NetlinkError && error.errnoName === "EEXIST";
      if (!taken) removeLink(route, name);
      if (!taken || attempt === nameAttempts) throw error;
    }
  }
}

/**
 * Deletes the host's end and with it the pair. One that is gone is fine. Costs the kernel a grace period (10–20 ms): on the hot path let
 * the namespace's end do it.
 */
export function removeLink(route: NetlinkConnection, hostInterface: string): void {
  route.send([deleteLink(hostInterface)], ["ENODEV"]);
}
