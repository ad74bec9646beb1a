/**
 * Notices what other programs change in the host's networks. The kernel tells it, so nothing is read again and again. Only removals of links and
 * addresses wake this process, and changes of nf_tables rules, at most once for each transaction.
 */
import type { Logger } from "@fathom/base";
import { messageOf } from "@fathom/base";
import { NETLINK_NETFILTER, NETLINK_ROUTE, type Sys } from "@fathom/sys";
import { decodeAttributes, decodeMessages, readText, readU32 } from "../netlink/message.ts";
import { AF_UNSPEC, RTM_DELADDR, RTM_DELLINK } from "../netlink/route-numbers.ts";

export type HostChange =
  /** Somebody, perhaps this process, changed nf_tables rules. */
  | { readonly kind: "rules" }
  | { readonly kind: "link-removed"; readonly index: number; readonly name: string }
  | { readonly kind: "address-removed"; readonly linkIndex: number };

export interface HostMonitor {
  /** Until the result is disposed. @throws SysError when the kernel does not tell it */
  watch(seen: (change: HostChange) => void): Disposable;
}

const RTMGRP_LINK = 0x1;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV6_IFADDR = 0x100;
/** The group of nf_tables, as a mask. */
const NFTABLES_GROUP = 0x40;
/** The end of a transaction. */
const NFT_MSG_NEWGEN = 0x0a0f;
const IFLA_IFNAME = 3;

export function createHostMonitor(sys: Pick<Sys, "openNetlinkMonitor" | "close">, logger: Logger): HostMonitor {
  return {
    watch(seen) {
      using opened = new DisposableStack();
      const routeGroups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
      opened.use(
        follow(sys, sys.openNetlinkMonitor(NETLINK_ROUTE, routeGroups, [RTM_DELLINK, RTM_DELADDR]), logger, (bytes) => {
          for (const change of decodeRemovals(bytes)) seen(change);
        }),
      );
      opened.use(
        follow(
          sys,
          sys.openNetlinkMonitor(NETLINK_NETFILTER, NFTABLES_GROUP, [NFT_MSG_NEWGEN, NFT_MSG_NEWGEN]),
          logger,
          () => seen({ kind: "rules" }),
        ),
      );
      return opened.move();
    },
  };
}

/** Reads the socket until the result is disposed. */
function follow(
  sys: Pick<Sys, "close">,
  fd: number,
  logger: Logger,
  received: (bytes: Uint8Array) => void,
): Disposable {
  const reader = Bun.file(fd).stream().getReader();
  let ended = false;
  const pump = async (): Promise<void> => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done || value === undefined) return;
      if (!ended) received(value);
    }
  };
  pump().catch((error: unknown) => {
    if (!ended) logger.warn("changes of the host's networks are not noticed any more", { error: messageOf(error) });
  });
  return {
    [Symbol.dispose]: () => {
      ended = true;
      void reader.cancel().catch(() => undefined);
      sys.close(fd);
    },
  };
}

export function decodeRemovals(bytes: Uint8Array): HostChange[] {
  return decodeMessages(bytes).flatMap(({ type, payload }): HostChange[] => {
    if (type === RTM_DELADDR && payload.length >= 8)
      return [{ kind: "address-removed", linkIndex: readU32(payload.subarray(4)) ?? 0 }];
    // Another family: the link is no port of a bridge any more.
    if (type !== RTM_DELLINK || payload.length < 16 || payload[0] !== AF_UNSPEC) return [];
    const name = readText(decodeAttributes(payload.subarray(16)).get(IFLA_IFNAME)) ?? "";
    return [{ kind: "link-removed", index: readU32(payload.subarray(4)) ?? 0, name }];
  });
}
