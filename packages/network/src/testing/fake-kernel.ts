/**
 * A kernel for unit tests: links by name, files of /proc/sys, descriptors, and the set elements of nf_tables batches. It accepts everything,
 * except one call or request that a test makes it reject.
 */
import {
  decodeAttributes,
  decodeMessages,
  encodeMessages,
  listAttributes,
  PayloadWriter,
  readText,
  readU32,
  NLM_F_CREATE,
} from "../netlink/message.ts";
import type { NetworkSys } from "../host/host-network.ts";
import {
  AF_INET,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_GETROUTE,
  RTM_NEWLINK,
  RTM_NEWROUTE,
  RTN_UNICAST,
} from "../netlink/route-numbers.ts";
import { errnoNumber, NLMSG_ERROR, NLMSG_DONE, NLM_F_ACK, NLM_F_DUMP } from "@fathom/sys";

const NFT_MSG_DELTABLE = 0x0a02;
const NFT_MSG_NEWSETELEM = 0x0a0c;
const NFT_MSG_DELSETELEM = 0x0a0e;
const ENOENT = errnoNumber("ENOENT");
const EIO = errnoNumber("EIO");
const ENODEV = errnoNumber("ENODEV");

export interface FakeLink {
  readonly index: number;
  readonly kind: string;
  readonly master: number;
  /** Name of a container's end of a pair; its index is that of the host's end plus `peerOffset`. */
  readonly peer?: string;
}

interface FakeRoute {
  readonly gateway: string;
  readonly linkIndex: number;
}

export class FakeKernel {
  readonly links = new Map<string, FakeLink>();
  /** The link of the default route in the containers' namespace: one for all of them. */
  get defaultGateway(): string | undefined {
    return this.#routes.get(AF_INET)?.gateway;
  }
  /** The default routes by the number of the family. */
  readonly #routes = new Map<number, FakeRoute>();
  readonly files = new Map<string, string>([
    ["/proc/sys/net/ipv4/ip_forward", "1\n"],
    ["/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"],
    ["/proc/sys/net/ipv4/ip_local_reserved_ports", "\n"],
    ["/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n"],
    ["/proc/sys/net/ipv6/conf/all/forwarding", "0\n"],
  ]);
  /** Open descriptors. */
  readonly open = new Map<number, string>();
  /** "set key" of every element; those of IPv6 begin with "ip6". */
  readonly elements = new Set<string>();
  /** Calls up to now, by name. */
  readonly calls: string[] = [];
  /** The call with this number throws; counting starts at 1 when it is set. */
  failCall = 0;
  /** The netlink request with this number is answered with EIO. */
  failRequest = 0;
  #nextFd = 100;
  #nextIndex = 2;

  readonly sys: NetworkSys = {
    openNetlink: (protocol) => this.#call("openNetlink", () => this.#descriptor(`netlink ${protocol}`)),
    netlinkTransact: (_socket, request) => this.#call("netlinkTransact", () => this.#transact(request)),
    withNetworkNamespace: (_fd, action) => this.#call("withNetworkNamespace", action),
    reservePort: (protocol, address, port) =>
      this.#call("reservePort", () => this.#descriptor(`${address} ${port}/${protocol}`)),
    listenPort: (protocol, address, port) =>
      this.#call("listenPort", () => this.#descriptor(`${address} ${port}/${protocol}`)),
    open: (path) =>
      this.#call("open", () => {
        const name = String(path);
        if (!this.files.has(name) && !name.startsWith("/proc/sys/net/ipv4/conf/"))
          throw Object.assign(new Error(`${name} is missing`), { errnoName: "ENOENT" });
        return this.#descriptor(name);
      }),
    read: (fd, buffer) =>
      this.#call("read", () => {
        const content = new TextEncoder().encode(this.files.get(this.open.get(fd) ?? "") ?? "");
        buffer.set(content);
        return content.length;
      }),
    write: (fd, data) =>
      this.#call("write", () => {
        this.files.set(this.open.get(fd) ?? "", new TextDecoder().decode(data));
        return data.length;
      }),
    close: (fd) => {
      if (!this.open.delete(fd)) throw new Error(`descriptor ${fd} is closed twice`);
    },
  };

  #call<T>(name: string, action: () => T): T {
    this.calls.push(name);
    if (this.failCall > 0 && --this.failCall === 0) throw new Error(`${name} is refused`);
    return action();
  }

  #descriptor(what: string): number {
    this.open.set(this.#nextFd, what);
    return this.#nextFd++;
  }

  #transact(request: Uint8Array): Uint8Array[] {
    const answers: Uint8Array[] = [];
    const messages = decodeMessages(request);
    const isBatch = messages[0]!.type === 0x10;
    const undo = new Set(this.elements);
    let failed = false;
    for (const message of messages) {
      const wanted = (message.flags & NLM_F_ACK) !== 0 || (message.flags & NLM_F_DUMP) === NLM_F_DUMP;
      const refused = wanted && this.failRequest > 0 && --this.failRequest === 0;
      const errno = refused
        ? EIO
        : this.#apply(message.type, message.flags, message.payload, answers, message.sequence);
      failed ||= errno !== 0;
      if ((message.flags & NLM_F_DUMP) === NLM_F_DUMP && errno === 0 && message.type !== RTM_NEWLINK)
        answers.push(encodeMessages([{ type: NLMSG_DONE, flags: 0, payload: new Uint8Array(4) }], message.sequence));
      else if (wanted) answers.push(acknowledgement(message.sequence, errno));
    }
    if (isBatch && failed) {
      this.elements.clear();
      for (const element of undo) this.elements.add(element);
    }
    return answers;
  }

  #apply(type: number, flags: number, payload: Uint8Array, answers: Uint8Array[], sequence: number): number {
    if (type === NFT_MSG_NEWSETELEM || type === NFT_MSG_DELSETELEM) {
      const attributes = decodeAttributes(payload.subarray(4));
      for (const [, element] of listAttributes(attributes.get(3)!)) {
        const key = decodeAttributes(decodeAttributes(element).get(1)!).get(1)!;
        const name = `${payload[0] === 10 ? ip6 : ""}${readText(attributes.get(2))} ${Buffer.from(key).toString("hex")}`;
        if (type === NFT_MSG_NEWSETELEM) this.elements.add(name);
        else if (!this.elements.delete(name)) return ENOENT;
      }
      return 0;
    }
    if (type === NFT_MSG_DELTABLE)
      for (const name of this.elements) if (name.startsWith(ip6) === (payload[0] === 10)) this.elements.delete(name);
    if (type === RTM_NEWROUTE && (flags & NLM_F_CREATE) !== 0) {
      const attributes = decodeAttributes(payload.subarray(12));
      const linkIndex = readU32(attributes.get(4)) ?? 0;
      this.#routes.set(payload[0]!, { gateway: attributes.get(5)?.join(".") ?? "", linkIndex });
    }
    if (type === RTM_GETLINK && (flags & NLM_F_DUMP) === NLM_F_DUMP)
      for (const [name, link] of this.links) answers.push(linkMessage(name, link, sequence));
    const ipv4Route = this.#routes.get(AF_INET);
    if (type === RTM_GETROUTE && ipv4Route !== undefined) answers.push(routeMessage(ipv4Route, sequence));
    // The message that begins a batch has the number of RTM_NEWLINK.
    if (payload.length < 16 || type < RTM_NEWLINK || type > RTM_GETLINK || (flags & NLM_F_DUMP) === NLM_F_DUMP)
      return 0;
    const attributes = decodeAttributes(payload.subarray(16));
    const index = new DataView(payload.buffer, payload.byteOffset).getUint32(4, true);
    const name = readText(attributes.get(3)) ?? [...this.links].find(([, link]) => link.index === index)?.[0] ?? "";
    if (type === RTM_NEWLINK && (flags & NLM_F_CREATE) !== 0) {
      const info = decodeAttributes(attributes.get(18)!);
      const kind = readText(info.get(1)) ?? "";
      const master = attributes.get(10)?.[0] ?? 0;
      const pair = decodeAttributes(info.get(2) ?? new Uint8Array()).get(1);
      const peer = pair === undefined ? undefined : readText(decodeAttributes(pair.subarray(16)).get(3));
      this.links.set(name, { index: this.#nextIndex++, kind, master, ...(peer === undefined ? {} : { peer }) });
      return 0;
    }
    const ofPeer = [...this.links.values()].find(
      (other) => other.peer !== undefined && (other.peer === name || other.index + peerOffset === index),
    );
    const link: FakeLink | undefined =
      this.links.get(name) ?? (ofPeer === undefined ? undefined : { ...ofPeer, index: ofPeer.index + peerOffset });
    // The first link of every namespace is lo.
    if (link === undefined) return index === 1 ? 0 : ENODEV;
    if (type === RTM_DELLINK) {
      this.links.delete(name);
      for (const [family, { linkIndex }] of this.#routes)
        if (linkIndex === link.index + peerOffset) this.#routes.delete(family);
    }
    const master = attributes.get(10)?.[0];
    if (type === RTM_NEWLINK && master !== undefined && this.links.has(name)) this.links.set(name, { ...link, master });
    if (type === RTM_GETLINK) {
      answers.push(linkMessage(name, link, sequence));
    }
    return 0;
  }
}

const ip6 = "ip6 ";

/** From the index of a pair's host end to that of its container's end. */
const peerOffset = 1000;

function linkMessage(name: string, link: FakeLink, sequence: number): Uint8Array {
  const writer = new PayloadWriter()
    .u32(0)
    .u32(link.index)
    .u32(1)
    .u32(0)
    .attributeText(3, name)
    .attributeU32(4, 1500)
    .attributeU32(5, link.index + peerOffset)
    .attributeU32(10, link.master)
    .nest(18, (info) => info.attributeText(1, link.kind), false);
  return encodeMessages([{ type: RTM_NEWLINK, flags: 0, payload: writer.finish() }], sequence);
}

function routeMessage(route: FakeRoute, sequence: number): Uint8Array {
  const writer = new PayloadWriter();
  for (const byte of [AF_INET, 0, 0, 0, 254, 3, 0, RTN_UNICAST]) writer.u8(byte);
  writer
    .u32(0)
    .attribute(5, Uint8Array.from(route.gateway.split("."), Number))
    .attributeU32(4, route.linkIndex);
  return encodeMessages([{ type: RTM_NEWROUTE, flags: 0, payload: writer.finish() }], sequence);
}

function acknowledgement(sequence: number, errno: number): Uint8Array {
  const payload = new PayloadWriter()
    .u32(-errno >>> 0)
    .bytes(new Uint8Array(16))
    .finish();
  return encodeMessages([{ type: NLMSG_ERROR, flags: 0, payload }], sequence);
}
