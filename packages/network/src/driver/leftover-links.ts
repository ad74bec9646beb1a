/** Interfaces that nobody needs any more: of containers that have just ended, and of those that a crash left. */
import { messageOf, type Logger } from "@fathom/base";
import { findLink, listPorts } from "./bridge-link.ts";
import type { LinkSettings } from "./veth.ts";
import type { NetlinkConnection } from "../netlink/connection.ts";
import type { Link } from "../netlink/route-decode.ts";
import { changeLink, deleteLink } from "../netlink/link.ts";

/** After this long the kernel has removed the interface of an ended container, or a process still holds its namespace. */
const lingerMs = 300;
/** A pause after a deletion that the kernel rejected. */
const retryMs = 10_000;

/**
 * Watches interfaces whose containers have ended. The kernel deletes them with the container's namespace, on a thread of its own. A deletion
 * from here would block this thread for 10–20 ms each. Interfaces that still exist after `lingerMs` are deleted from here anyway.
 */
export class LeavingLinks {
  readonly #route: NetlinkConnection;
  readonly #bridgeIndex: number;
  readonly #logger: Logger;
  readonly #names = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(route: NetlinkConnection, bridgeIndex: number, logger: Logger) {
    this.#route = route;
    this.#bridgeIndex = bridgeIndex;
    this.#logger = logger;
  }

  add(name: string): void {
    this.#names.add(name);
    this.#timer ??= setTimeout(() => this.#sweepAgain(), lingerMs);
  }

  /** Until it has succeeded. */
  #sweepAgain(): void {
    this.sweep();
    if (this.#names.size > 0) this.#timer = setTimeout(() => this.#sweepAgain(), retryMs);
  }

  /** Deletes the remaining ones now. */
  sweep(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#names.size === 0) return;
    try {
      const still = listPorts(this.#route, this.#bridgeIndex).filter((port) => this.#names.has(port.name));
      if (still.length > 0)
        this.#route.send(
          still.map((port) => deleteLink(port.index)),
          ["ENODEV"],
        );
      this.#names.clear();
    } catch (error) {
      this.#logger.warn("interfaces of ended containers could not be removed yet", {
        error: messageOf(error),
      });
    }
  }
}

/**
 * Deletes ports of the bridge that belong to no endpoint, and connects again those that lost their bridge.
 * @param known Host interfaces of endpoints.
 * @returns whether it deleted one
 */
export function cleanLinks(
  route: NetlinkConnection,
  { bridgeIndex, hairpin, isolated }: LinkSettings,
  known: ReadonlySet<string>,
  logger: Logger,
): boolean {
  const ports = listPorts(route, bridgeIndex);
  const leftovers = ports.filter((port) => !known.has(port.name) && isOurName(port));
  if (leftovers.length > 0) {
    logger.info("removing interfaces of containers that do not exist any more", {
      interfaces: leftovers.map(({ name }) => name),
    });
    route.send(
      leftovers.map((port) => deleteLink(port.index)),
      ["ENODEV"],
    );
  }
  const plugged = new Set(ports.map((port) => port.name));
  for (const name of known) {
    if (plugged.has(name) || findLink(route, name) === undefined) continue;
    route.send([
      changeLink(name, { masterIndex: bridgeIndex, up: true }),
      ...(hairpin || isolated ? [changeLink(name, { bridgePort: { hairpin, isolated } })] : []),
    ]);
  }
  return leftovers.length > 0;
}

/** Other programs may connect interfaces of their own to our bridge; only names in our form are ours. */
function isOurName(link: Link): boolean {
  return link.kind === "veth" && /^veth[0-9a-f]{7}$/.test(link.name);
}
