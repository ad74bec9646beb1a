/**
 * The 512-byte header block: field offsets, numbers, checksum. POSIX.1-2024 pax(1) "ustar Interchange Format"; GNU tar manual
 * "Basic Tar Format" for base-256 numbers and the old GNU layout.
 */
import { EngineError } from "@fathom/base";
import type { ByteString } from "./entry.ts";

export const blockSize = 512;

/** Fields as [offset, length]. */
export const fields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 6],
  userName: [265, 32],
  groupName: [297, 32],
  deviceMajor: [329, 8],
  deviceMinor: [337, 8],
  prefix: [345, 155],
  /** Old GNU: four sparse pieces of 24 bytes, "more follow", the real size. */
  gnuSparse: [386, 96],
  gnuExtended: [482, 1],
  gnuRealSize: [483, 12],
} as const;

export const gnuSparsePieces = 4;
/** Pieces in an extension block of an old GNU sparse header, and the position of its "more follow" byte. */
export const gnuExtensionPieces = 21;
export const gnuExtensionFlag = 504;

export function brokenTar(reason: string): EngineError {
  return new EngineError("invalid-argument", `tar: ${reason}`);
}

/** Text up to the first NUL. */
export function textField(block: Buffer, at: number, length: number): ByteString {
  let end = at;
  const limit = at + length;
  while (end < limit && block[end] !== 0) end++;
  return block.toString("latin1", at, end) as ByteString;
}

/**
 * A number field: octal text, or base-256 when the first bit is set.
 * @throws invalid-argument for anything else, or a number that is not a safe integer.
 */
export function numberField(block: Buffer, at: number, length: number): number {
  const first = block[at]!;
  if ((first & 0x80) !== 0) return base256(block, at, length);
  const end = at + length;
  while (at < end && block[at] === 0x20) at++;
  let value = 0;
  for (; at < end; at++) {
    const byte = block[at]!;
    if (byte < 0x30 || byte > 0x37) break;
    value = value * 8 + (byte - 0x30);
  }
  // Spaces and NULs follow the digits; an empty field is 0.
  for (let rest = at; rest < end && block[rest] !== 0; rest++) {
    if (block[rest] !== 0x20)
      throw brokenTar(`a number field of the header holds ${JSON.stringify(block.toString("latin1", at, end))}`);
  }
  return value;
}

/** Seconds of a time field, exact for any distance. */
export function timeField(block: Buffer, at: number, length: number): bigint {
  return (block[at]! & 0x80) === 0 ? BigInt(numberField(block, at, length)) : bigBase256(block, at, length);
}

function base256(block: Buffer, at: number, length: number): number {
  const number = Number(bigBase256(block, at, length));
  if (!Number.isSafeInteger(number)) throw brokenTar("a number of the header is too large");
  return number;
}

function bigBase256(block: Buffer, at: number, length: number): bigint {
  const negative = (block[at]! & 0x40) !== 0;
  // Sign-extended big-endian two's complement; the top bit of the first byte only marks this form.
  let value = BigInt(negative ? block[at]! | 0x80 : block[at]! & 0x7f);
  for (let index = 1; index < length; index++) value = (value << 8n) | BigInt(block[at + index]!);
  if (negative) value -= 1n << BigInt(8 * length);
  return value;
}

/** Sum of all bytes, with spaces in place of the checksum field. Old tars summed signed bytes; both sums are accepted. */
export function checksumMatches(block: Buffer): boolean {
  let unsigned = 0;
  let high = 0;
  for (let index = 0; index < blockSize; index++) {
    const byte = block[index]!;
    unsigned += byte;
    high += byte >> 7;
  }
  for (let index = 148; index < 156; index++) {
    const byte = block[index]!;
    unsigned += 0x20 - byte;
    high -= byte >> 7;
  }
  let stated: number;
  try {
    stated = numberField(block, fields.checksum[0], fields.checksum[1]);
  } catch {
    return false;
  }
  return stated === unsigned || stated === unsigned - 256 * high;
}

export function isZeroBlock(block: Buffer): boolean {
  if (block[0] !== 0) return false;
  for (let index = 1; index < blockSize; index++) if (block[index] !== 0) return false;
  return true;
}
