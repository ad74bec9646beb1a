/** A container's interface: a veth pair. One end is a port of the bridge, the other is in the container's namespace. */
import { EngineError } from "@fathom/base";
import type { JoinedLink } from "./driver.ts";
import { NetlinkError, type NetlinkConnection } from "../netlink/connection.ts";
import { decodeLinks } from "../netlink/route-decode.ts";
import { changeLink, createVethPair, deleteLink, getLink } from "../netlink/link.ts";

export interface LinkSettings {
  readonly bridgeIndex: number;
  readonly mtu: number;
  /** Frames may leave through the port on which they arrived: needed when bridged packets go through the rule set (br_netfilter). */
  readonly hairpin: boolean;
  /** Ports of the bridge cannot reach each other. */
  readonly isolated: boolean;
}

const nameAttempts = 8;

function randomName(): string {
  const [value] = crypto.getRandomValues(new Uint32Array(1));
  return `veth${(value! & 0xfffffff).toString(16).padStart(7, "0")}`;
}

/**
 * Makes the pair: both ends exist and are connected; the container's end is down and has no address. It needs no address and no container, so
 * it can be done in advance for a namespace.
 * @throws NetlinkError; then nothing is left.
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
        // No link-local IPv6 address: the link has no carrier yet, so the kernel makes none before it reads this setting.
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
        throw new EngineError("internal", `interface ${name} disappeared while it was set up`);
      return { hostInterface: name, index: link.peerIndex };
    } catch (error) {
      // EEXIST may mean either name. The host's name is random, so another try shows which; the container's name does not change.
      const taken = error instanceof NetlinkError && error.errnoName === "EEXIST";
      if (!taken) removeLink(route, name);
      if (!taken || attempt === nameAttempts) throw error;
    }
  }
}

/**
 * Deletes the host's end, and so the pair. If it is already removed, that is no error. The kernel needs a grace period (10–20 ms) for it, so on
 * fast paths let the end of the namespace do it.
 */
export function removeLink(route: NetlinkConnection, hostInterface: string): void {
  route.send([deleteLink(hostInterface)], ["ENODEV"]);
}
