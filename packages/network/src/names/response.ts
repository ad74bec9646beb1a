/** Reads what an upstream server sends: whether it answers our question, and how long it may be kept. The bytes themselves are passed on. */
import { flagBits, headerBytes, nameEnd, recordTypes, responseCodes, word, type Question } from "./question.ts";

export interface UpstreamResponse {
  readonly bytes: Uint8Array;
  readonly code: number;
  readonly truncated: boolean;
  /** Where the times to live are. */
  readonly ttlOffsets: readonly number[];
  /** How long it may be kept, in seconds; 0: not at all. */
  readonly keepSeconds: number;
}

/** True when the bytes can only be an answer to this question. */
export function answersQuestion(bytes: Uint8Array, id: number, query: Uint8Array, { end }: Question): boolean {
  if (bytes.length < headerBytes || word(bytes, 0) !== id) return false;
  const flags = word(bytes, 2);
  if ((flags & flagBits.response) === 0) return false;
  // Some servers leave out the question of a query that they reject.
  if (word(bytes, 4) === 0) return (flags & flagBits.code) !== responseCodes.noError;
  if (word(bytes, 4) !== 1 || bytes.length < end) return false;
  for (let at = headerBytes; at < end; at++)
    if (bytes[at] !== query[at] && (at >= end - 4 || lower(bytes[at]!) !== lower(query[at]!))) return false;
  return true;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

/** Of bytes for which `answersQuestion` is true. Records that cannot be read only mean that the response is not kept. */
export function readResponse(bytes: Uint8Array, { end }: Question): UpstreamResponse {
  const flags = word(bytes, 2);
  const code = flags & flagBits.code;
  const truncated = (flags & flagBits.truncated) !== 0;
  const unkept = { bytes, code, truncated, ttlOffsets: [], keepSeconds: 0 };
  if (word(bytes, 4) !== 1 || (code !== responseCodes.noError && code !== responseCodes.noSuchName)) return unkept;
  const answers = word(bytes, 6);
  const records = answers + word(bytes, 8) + word(bytes, 10);
  const ttlOffsets: number[] = [];
  let keepSeconds = Infinity;
  let authority: number | undefined;
  for (let index = 0, at = end; index < records; index++) {
    const fixed = nameEnd(bytes, at);
    if (fixed === undefined || fixed + 10 > bytes.length) return unkept;
    const next = fixed + 10 + word(bytes, fixed + 8);
    if (next > bytes.length) return unkept;
    const type = word(bytes, fixed);
    // The field of OPT contains flags (RFC 6891, 6.1.3).
    if (type !== recordTypes.OPT) {
      const ttl = long(bytes, fixed + 4);
      ttlOffsets.push(fixed + 4);
      keepSeconds = Math.min(keepSeconds, ttl);
      // RFC 2308, 5: the last field of SOA limits how long "there is none" holds.
      if (type === recordTypes.SOA && next - fixed >= 14) authority = Math.min(ttl, long(bytes, next - 4));
    }
    at = next;
  }
  if (answers === 0 || code === responseCodes.noSuchName) keepSeconds = Math.min(keepSeconds, authority ?? 0);
  return {
    bytes,
    code,
    truncated,
    ttlOffsets,
    keepSeconds: Number.isFinite(keepSeconds) && !truncated ? keepSeconds : 0,
  };
}

/** A time to live with the highest bit is 0 (RFC 2181, 8). */
function long(bytes: Uint8Array, at: number): number {
  return (bytes[at]! & 0x80) !== 0 ? 0 : (word(bytes, at) << 16) | word(bytes, at + 2);
}
