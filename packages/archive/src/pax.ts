/** PAX extended headers: records "LENGTH KEY=VALUE\n" (POSIX.1-2024 pax(1), "pax Header Block"); values may be binary. */
import { brokenTar } from "./header.ts";
import { nameText, type ByteString, type TarXattr } from "./entry.ts";

/** What records say about the next entry (or, in a global header, about all following ones). */
export interface PaxValues {
  path?: ByteString;
  linkPath?: ByteString;
  size?: number;
  uid?: number;
  gid?: number;
  userName?: ByteString;
  groupName?: ByteString;
  mtimeNs?: bigint;
  xattrs?: TarXattr[];
  sparse?: PaxSparse;
}

/** GNU.sparse.* records of all three versions (GNU tar manual, "Storing Sparse Files"). */
export interface PaxSparse {
  major?: number;
  minor?: number;
  name?: ByteString;
  realSize?: number;
  pieceCount?: number;
  /** Offset, length, offset, length, … */
  readonly map: number[];
}

const xattrPrefix = "SCHILY.xattr.";
const libarchivePrefix = "LIBARCHIVE.xattr.";

/**
 * Reads all records of one header into `into`. An empty value removes an earlier one.
 * @param data Valid only during the call: kept parts are copied.
 */
export function parsePax(data: Buffer, into: PaxValues, maxSparseSegments: number): void {
  let at = 0;
  while (at < data.length) {
    const start = at;
    let length = 0;
    for (; ; at++) {
      const byte = data[at];
      if (byte === undefined || byte < 0x30 || byte > 0x39) break;
      length = length * 10 + (byte - 0x30);
      if (length > data.length) throw brokenTar("a PAX record is longer than its header");
    }
    if (data[at] !== 0x20 || at === start) {
      // Some writers fill the header with NULs.
      if (isPadding(data, start)) return;
      throw brokenTar("a PAX record has no length");
    }
    const end = start + length;
    if (end > data.length || end <= at + 1 || data[end - 1] !== 0x0a)
      throw brokenTar("a PAX record has a wrong length");
    const equals = data.indexOf(0x3d, at + 1);
    if (equals < 0 || equals >= end) throw brokenTar("a PAX record has no '='");
    applyRecord(into, data, data.toString("latin1", at + 1, equals), equals + 1, end - 1, maxSparseSegments);
    at = end;
  }
}

function isPadding(data: Buffer, from: number): boolean {
  for (let index = from; index < data.length; index++) if (data[index] !== 0) return false;
  return true;
}

function applyRecord(into: PaxValues, data: Buffer, key: string, from: number, to: number, maxSegments: number): void {
  if (key.startsWith(xattrPrefix)) return addXattr(into, key.slice(xattrPrefix.length), copy(data, from, to));
  const value = data.toString("latin1", from, to);
  switch (key) {
    case "path":
      return setName(into, "path", value);
    case "linkpath":
      return setName(into, "linkPath", value);
    case "uname":
      return setName(into, "userName", value);
    case "gname":
      return setName(into, "groupName", value);
    case "size":
    case "uid":
    case "gid":
      if (value === "") delete into[key];
      else into[key] = decimal(key, value);
      return;
    case "mtime":
      if (value === "") delete into.mtimeNs;
      else into.mtimeNs = paxTime(value);
      return;
  }
  if (key.startsWith("GNU.sparse.")) return applySparse(into, key.slice("GNU.sparse.".length), value, maxSegments);
  if (key.startsWith(libarchivePrefix)) {
    // The key is URL-encoded, the value base64. SCHILY's plain form wins when both are given.
    const name = key
      .slice(libarchivePrefix.length)
      .replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    if (into.xattrs?.some((xattr) => xattr.name === nameText(name))) return;
    addXattr(into, name, new Uint8Array(Buffer.from(value, "base64")));
  }
  // atime, ctime, comment, hdrcharset, vendor keys: a layer keeps none of them.
}

function setName(into: PaxValues, key: "path" | "linkPath" | "userName" | "groupName", value: string): void {
  if (value.includes("\0")) throw brokenTar(`the PAX record ${key} holds a NUL`);
  if (value === "") delete into[key];
  else into[key] = value as ByteString;
}

function copy(data: Buffer, from: number, to: number): Uint8Array {
  return new Uint8Array(data.subarray(from, to));
}

function addXattr(into: PaxValues, key: string, value: Uint8Array): void {
  const name = nameText(key);
  if (name === "" || name.includes("\0")) throw brokenTar("an xattr has no valid name");
  into.xattrs = [...(into.xattrs?.filter((xattr) => xattr.name !== name) ?? []), { name, value }];
}

function decimal(key: string, value: string): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw brokenTar(`the PAX record ${key} holds ${JSON.stringify(value)}`);
  return number;
}

/** "1700000000.123456789", "-1.5": seconds with any number of digits after the point; more than nine are cut. */
function paxTime(value: string): bigint {
  const match = /^(-?)(\d{1,30})(?:\.(\d*))?$/.exec(value);
  if (match === null) throw brokenTar(`a PAX time holds ${JSON.stringify(value)}`);
  const ns = BigInt(match[2]!) * 1_000_000_000n + BigInt((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  return match[1] === "-" ? -ns : ns;
}

function applySparse(into: PaxValues, key: string, value: string, maxSegments: number): void {
  const sparse = (into.sparse ??= { map: [] });
  switch (key) {
    case "major":
    case "minor":
      sparse[key] = decimal(key, value);
      return;
    case "name":
      if (value.includes("\0")) throw brokenTar("the PAX record GNU.sparse.name holds a NUL");
      sparse.name = value as ByteString;
      return;
    case "size":
    case "realsize":
      sparse.realSize = decimal(key, value);
      return;
    case "numblocks":
      sparse.pieceCount = decimal(key, value);
      return;
    case "offset":
    case "numbytes":
      if (sparse.map.length % 2 !== (key === "offset" ? 0 : 1)) throw brokenTar("GNU.sparse records are out of order");
      if (sparse.map.length >= 2 * maxSegments)
        throw brokenTar(`a sparse map has more than maxSparseSegments ${maxSegments} pieces`);
      sparse.map.push(decimal(key, value));
      return;
    case "map": {
      const numbers = value === "" ? [] : value.split(",", 2 * maxSegments + 1);
      if (numbers.length > 2 * maxSegments)
        throw brokenTar(`a sparse map has more than maxSparseSegments ${maxSegments} pieces`);
      sparse.map.length = 0;
      for (const number of numbers) sparse.map.push(decimal("GNU.sparse.map", number));
    }
  }
}
