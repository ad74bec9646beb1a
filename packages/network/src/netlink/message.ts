/**
 * Netlink messages as bytes (netlink(7)): headers, attributes, answers. Pure functions on `Uint8Array`. Numbers of headers and most attributes
 * are in host order, which is little-endian on every supported machine (x86-64, arm64); nf_tables uses network order.
 */
import { NLM_F_REQUEST } from "@fathom/sys";

/** One message to send, without its header: `encodeMessages` adds length and sequence number. */
export interface NetlinkMessage {
  readonly type: number;
  /** NLM_F_*; NLM_F_REQUEST is always set. */
  readonly flags: number;
  /** Family header and attributes. */
  readonly payload: Uint8Array;
}

/** One received message. */
export interface ReceivedNetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
/** In an answer: the request is not repeated after the error code. */
export const NLM_F_CAPPED = 0x100;
/** In an answer: extended attributes (the kernel's own words) follow. */
export const NLM_F_ACK_TLVS = 0x200;

const headerLength = 16;
const attributeHeaderLength = 4;
const NLA_F_NESTED = 0x8000;
/** NLA_F_NESTED and NLA_F_NET_BYTEORDER are flags in the type field. */
const attributeTypeMask = 0x3fff;
const maxAttributeLength = 0xffff;

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

const align = (length: number): number => (length + 3) & ~3;

/** A payload that grows field by field; `finish` returns the bytes. */
export class PayloadWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Position of `count` zero bytes at the end. The call may replace the buffer: call it before you use the buffer. */
  #reserve(count: number): number {
    const at = this.#length;
    if (at + count > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, at + count));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length = at + count;
    return at;
  }

  u8(value: number): this {
    const at = this.#reserve(1);
    this.#bytes[at] = value;
    return this;
  }
  u16(value: number): this {
    const at = this.#reserve(2);
    this.#view.setUint16(at, value, true);
    return this;
  }
  u32(value: number): this {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
    return this;
  }
  u16be(value: number): this {
    const at = this.#reserve(2);
    this.#view.setUint16(at, value, false);
    return this;
  }
  u32be(value: number): this {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, false);
    return this;
  }
  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** One attribute with these bytes, padded to four. */
  attribute(type: number, value: Uint8Array): this {
    this.#attributeHeader(type, value.length);
    return this.bytes(value).#pad();
  }
  attributeU8(type: number, value: number): this {
    this.#attributeHeader(type, 1);
    return this.u8(value).#pad();
  }
  attributeU32(type: number, value: number): this {
    this.#attributeHeader(type, 4);
    return this.u32(value);
  }
  attributeU32be(type: number, value: number): this {
    this.#attributeHeader(type, 4);
    return this.u32be(value);
  }
  /** A text with its terminating NUL. */
  attributeText(type: number, value: string): this {
    const bytes = textEncoder.encode(value);
    this.#attributeHeader(type, bytes.length + 1);
    return this.bytes(bytes).u8(0).#pad();
  }
  /** An attribute that contains what `content` writes. `flag` false leaves out NLA_F_NESTED, as old rtnetlink attributes require. */
  nest(type: number, content: (writer: this) => void, flag = true): this {
    const start = this.#reserve(attributeHeaderLength);
    content(this);
    const length = this.#length - start;
    if (length > maxAttributeLength)
      throw new RangeError(`netlink attribute ${type} of ${length} bytes is over the limit of ${maxAttributeLength}`);
    this.#view.setUint16(start, length, true);
    this.#view.setUint16(start + 2, flag ? type | NLA_F_NESTED : type, true);
    return this;
  }

  #attributeHeader(type: number, length: number): void {
    if (length + attributeHeaderLength > maxAttributeLength)
      throw new RangeError(`netlink attribute ${type} of ${length} bytes is over the limit of ${maxAttributeLength}`);
    this.u16(length + attributeHeaderLength).u16(type);
  }
  #pad(): this {
    this.#reserve(align(this.#length) - this.#length);
    return this;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

/** Puts messages one after another, with numbers from `firstSequence` on. */
export function encodeMessages(messages: readonly NetlinkMessage[], firstSequence: number): Uint8Array {
  let total = 0;
  for (const message of messages) total += align(headerLength + message.payload.length);
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  let at = 0;
  let sequence = firstSequence;
  for (const message of messages) {
    const length = headerLength + message.payload.length;
    view.setUint32(at, length, true);
    view.setUint16(at + 4, message.type, true);
    view.setUint16(at + 6, message.flags | NLM_F_REQUEST, true);
    view.setUint32(at + 8, sequence++, true);
    bytes.set(message.payload, at + headerLength);
    at += align(length);
  }
  return bytes;
}

/** Reads whole messages from received bytes. A wrong length ends the reading with an error. */
export function decodeMessages(bytes: Uint8Array): ReceivedNetlinkMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: ReceivedNetlinkMessage[] = [];
  let at = 0;
  while (at + headerLength <= bytes.length) {
    const length = view.getUint32(at, true);
    if (length < headerLength || at + length > bytes.length)
      throw new RangeError(`netlink message of ${length} bytes at ${at} does not fit into ${bytes.length}`);
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      payload: bytes.subarray(at + headerLength, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** Attributes by type. When a type occurs several times, the last one counts. */
export function decodeAttributes(bytes: Uint8Array): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>();
  for (const [type, value] of listAttributes(bytes)) attributes.set(type, value);
  return attributes;
}

/** Attributes in order. */
export function listAttributes(bytes: Uint8Array): [number, Uint8Array][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const list: [number, Uint8Array][] = [];
  let at = 0;
  while (at + attributeHeaderLength <= bytes.length) {
    const length = view.getUint16(at, true);
    if (length < attributeHeaderLength || at + length > bytes.length) break;
    list.push([
      view.getUint16(at + 2, true) & attributeTypeMask,
      bytes.subarray(at + attributeHeaderLength, at + length),
    ]);
    at += align(length);
  }
  return list;
}

export function readU32(bytes: Uint8Array | undefined): number | undefined {
  if (bytes === undefined || bytes.length < 4) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
}

export function readU32be(bytes: Uint8Array | undefined): number | undefined {
  if (bytes === undefined || bytes.length < 4) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, false);
}

/** A text attribute, without its NUL. */
export function readText(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  const end = bytes.indexOf(0);
  return textDecoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}
