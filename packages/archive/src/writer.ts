/**
 * Tar headers: ustar when it is enough, with PAX records when it is not (long or non-ASCII names, times with a fraction, large numbers,
 * xattrs). The same entries give the same bytes.
 */
import { EngineError } from "@fathom/base";
import { byteString, type ByteString, type TarKind, type TarXattr } from "./entry.ts";
import { blockSize } from "./header.ts";

/** An entry to write. Text names are UTF-8; bytes are written unchanged. */
export interface TarEntryInput {
  readonly kind: TarKind;
  readonly path: string | Uint8Array;
  readonly linkPath?: string | Uint8Array;
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly userName?: string;
  readonly groupName?: string;
  /** Bytes of data that follow; only for files. */
  readonly size?: number;
  readonly mtimeNs?: bigint;
  readonly deviceMajor?: number;
  readonly deviceMinor?: number;
  readonly xattrs?: readonly TarXattr[];
}

const typeFlags: Readonly<Record<TarKind, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  "character-device": "3",
  "block-device": "4",
  directory: "5",
  fifo: "6",
  // Tar has no sockets; code that walks a tree leaves them out.
  socket: "",
};

const plain = /^[^\0\u0080-\uffff]*$/;

/** Splits a path into prefix and name for ustar; undefined when PAX is necessary. */
function ustarName(path: ByteString): readonly [prefix: string, name: string] | undefined {
  if (!plain.test(path)) return undefined;
  if (path.length <= 100) return ["", path];
  if (path.length > 256) return undefined;
  const slash = path.indexOf("/", path.length - 101);
  // A name may not be empty, so the final slash of a directory does not count.
  if (slash <= 0 || slash > 155 || slash === path.length - 1) return undefined;
  return [path.slice(0, slash), path.slice(slash + 1)];
}

/** Header blocks of an entry, with the PAX header. Data and `tarPadding(size)` follow. */
function encodeTarHeader(entry: TarEntryInput): Uint8Array {
  const path = byteString(entry.path);
  const isLink = entry.kind === "symlink" || entry.kind === "hardlink";
  const isDevice = entry.kind === "character-device" || entry.kind === "block-device";
  const linkPath = byteString((isLink ? entry.linkPath : undefined) ?? "");
  const { uid = 0, gid = 0, mtimeNs = 0n, userName = "", groupName = "" } = entry;
  const size = entry.kind === "file" ? (entry.size ?? 0) : 0;
  const flag = typeFlags[entry.kind];
  if (flag === "") throw new EngineError("invalid-argument", "tar: a socket cannot be archived");
  if (path === "" || path.includes("\0") || linkPath.includes("\0"))
    throw new EngineError("invalid-argument", "tar: a name is empty or holds a NUL");

  const records: Buffer[] = [];
  const name = ustarName(path);
  if (name === undefined) records.push(paxRecord("path", path));
  const plainLink = linkPath.length <= 100 && plain.test(linkPath);
  if (!plainLink) records.push(paxRecord("linkpath", linkPath));
  if (size > 0o77777777777) records.push(paxRecord("size", String(size)));
  if (uid > 0o7777777) records.push(paxRecord("uid", String(uid)));
  if (gid > 0o7777777) records.push(paxRecord("gid", String(gid)));
  const seconds = mtimeNs / 1_000_000_000n;
  const wholeTime = mtimeNs >= 0n && seconds <= 0o77777777777n && seconds * 1_000_000_000n === mtimeNs;
  if (!wholeTime) records.push(paxRecord("mtime", formatPaxTime(mtimeNs)));
  const plainUser = userName.length <= 31 && plain.test(userName);
  const plainGroup = groupName.length <= 31 && plain.test(groupName);
  if (!plainUser) records.push(paxRecord("uname", byteString(userName)));
  if (!plainGroup) records.push(paxRecord("gname", byteString(groupName)));
  for (const xattr of [...(entry.xattrs ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (xattr.name === "" || /[=\0]/.test(xattr.name))
      throw new EngineError("invalid-argument", `tar: the xattr name ${JSON.stringify(xattr.name)} cannot be archived`);
    records.push(paxRecord(`SCHILY.xattr.${byteString(xattr.name)}`, xattr.value));
  }

  const main = headerBlock({
    prefix: name?.[0] ?? "",
    name: name?.[1] ?? truncated(path),
    mode: entry.mode & 0o7777,
    uid: Math.min(uid, 0o7777777),
    gid: Math.min(gid, 0o7777777),
    size: Math.min(size, 0o77777777777),
    mtime: wholeTime ? Number(seconds) : clampTime(seconds),
    flag,
    linkName: plainLink ? linkPath : truncated(linkPath),
    userName: plainUser ? userName : "",
    groupName: plainGroup ? groupName : "",
    deviceMajor: isDevice ? (entry.deviceMajor ?? 0) : 0,
    deviceMinor: isDevice ? (entry.deviceMinor ?? 0) : 0,
  });
  if (records.length === 0) return main;

  const body = Buffer.concat(records);
  const pax = headerBlock({
    prefix: "",
    name: `PaxHeaders.0/${truncated(lastPart(path))}`.slice(0, 100),
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    mtime: 0,
    flag: "x",
    linkName: "",
    userName: "",
    groupName: "",
    deviceMajor: 0,
    deviceMinor: 0,
  });
  return Buffer.concat([pax, body, tarPadding(body.length), main]);
}

function lastPart(path: string): string {
  const trimmed = path.endsWith("/") ? path.slice(0, -1) : path;
  return trimmed.slice(trimmed.lastIndexOf("/") + 1);
}

/** The name for readers without PAX: its beginning, in ASCII. */
function truncated(path: string): string {
  return path.replaceAll(/[^\x21-\x7e]/g, "_").slice(0, 85);
}

function clampTime(seconds: bigint): number {
  return Number(seconds < 0n ? 0n : seconds > 0o77777777777n ? 0o77777777777n : seconds);
}

function paxRecord(key: string, value: string | Uint8Array): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value, "latin1") : value;
  // The length includes its own digits.
  const rest = key.length + bytes.length + 3;
  let length = rest + 1;
  while (rest + String(length).length !== length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`, "latin1"), bytes, Buffer.from("\n")]);
}

function formatPaxTime(ns: bigint): string {
  const positive = ns < 0n ? -ns : ns;
  const fraction = (positive % 1_000_000_000n).toString().padStart(9, "0").replace(/0+$/, "");
  return `${ns < 0n ? "-" : ""}${positive / 1_000_000_000n}${fraction === "" ? "" : `.${fraction}`}`;
}

interface HeaderFields {
  readonly prefix: string;
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly flag: string;
  readonly linkName: string;
  readonly userName: string;
  readonly groupName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

function headerBlock(header: HeaderFields): Buffer {
  const block = Buffer.alloc(blockSize);
  block.write(header.name, 0, 100, "latin1");
  octal(block, 100, 8, header.mode);
  octal(block, 108, 8, header.uid);
  octal(block, 116, 8, header.gid);
  octal(block, 124, 12, header.size);
  octal(block, 136, 12, header.mtime);
  block.write("        ", 148, 8, "latin1");
  block.write(header.flag, 156, 1, "latin1");
  block.write(header.linkName, 157, 100, "latin1");
  block.write("ustar\x0000", 257, 8, "latin1");
  block.write(header.userName, 265, 32, "latin1");
  block.write(header.groupName, 297, 32, "latin1");
  octal(block, 329, 8, header.deviceMajor);
  octal(block, 337, 8, header.deviceMinor);
  block.write(header.prefix, 345, 155, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8, "latin1");
  return block;
}

function octal(block: Buffer, at: number, length: number, value: number): void {
  block.write(
    value
      .toString(8)
      .padStart(length - 1, "0")
      .slice(-(length - 1)),
    at,
    length - 1,
    "latin1",
  );
}

const zeros = new Uint8Array(2 * blockSize);

/** Zeros that fill the last block of `size` bytes of data; empty when it is full. */
function tarPadding(size: number): Uint8Array {
  return zeros.subarray(0, (blockSize - (size % blockSize)) % blockSize);
}

/** The two zero blocks at the end. */
function tarEnd(): Uint8Array {
  return zeros;
}

/** Writes entries one after another and checks the sizes. `sink` receives blocks in order; it may keep them. */
export class TarWriter {
  readonly #sink: (chunk: Uint8Array) => void;
  #size = 0;
  #remaining = 0;

  constructor(sink: (chunk: Uint8Array) => void) {
    this.#sink = sink;
  }

  /** Begins an entry; exactly `size` bytes of `data` must follow before the next. */
  entry(entry: TarEntryInput): void {
    this.#endEntry();
    this.#size = entry.kind === "file" ? (entry.size ?? 0) : 0;
    this.#remaining = this.#size;
    this.#sink(encodeTarHeader(entry));
  }

  /** Bytes of data that the entry still needs. */
  get remaining(): number {
    return this.#remaining;
  }

  data(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (chunk.length > this.#remaining) throw new EngineError("internal", "tar: more data than the header says");
    this.#remaining -= chunk.length;
    this.#sink(chunk);
  }

  /** An entry with its data. */
  file(entry: Omit<TarEntryInput, "kind" | "size">, data: Uint8Array): void {
    this.entry({ ...entry, kind: "file", size: data.length });
    this.data(data);
  }

  finish(): void {
    this.#endEntry();
    this.#sink(tarEnd());
  }

  #endEntry(): void {
    if (this.#remaining > 0) throw new EngineError("internal", `tar: ${this.#remaining} bytes of an entry are missing`);
    const padding = tarPadding(this.#size);
    this.#size = 0;
    if (padding.length > 0) this.#sink(padding);
  }
}
