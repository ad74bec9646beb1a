/** Reads what a client sends: the header, the one question, and the sizes of EDNS (RFC 1035, RFC 6891). Any bytes are allowed. */

export const headerBytes = 12;

export const recordTypes = { A: 1, SOA: 6, PTR: 12, AAAA: 28, OPT: 41 } as const;
export const classInternet = 1;

export const responseCodes = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const;

/** Bits of the second word of the header. */
export const flagBits = {
  response: 0x8000,
  opcode: 0x7800,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  authenticData: 0x0020,
  checkingDisabled: 0x0010,
  code: 0x000f,
} as const;

const maxNameBytes = 255;
const maxLabelBytes = 63;
/** What every client accepts over UDP. */
export const smallestUdpBytes = 512;

export interface Question {
  readonly id: number;
  readonly flags: number;
  /** In lower case, one character for each byte, without the last dot. "" for the root. */
  readonly name: string;
  /** 0 for the root. */
  readonly labels: number;
  /** A label contains a dot or a byte that no name of ours has: no name of ours is meant. */
  readonly odd: boolean;
  readonly type: number;
  readonly class: number;
  /** Where the question ends. */
  readonly end: number;
  /** Absent without EDNS. */
  readonly edns?: { readonly udpBytes: number; readonly wantsSignatures: boolean; readonly hasOptions: boolean };
}

export type Reading =
  | { readonly kind: "question"; readonly question: Question }
  /** An error is the answer. */
  | { readonly kind: "wrong"; readonly code: number }
  /** No answer: it is no query. An answer could go back and forth between two servers without end. */
  | { readonly kind: "nothing" };

const nothing: Reading = { kind: "nothing" };
const malformed: Reading = { kind: "wrong", code: responseCodes.formatError };

export function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** Where a name in a message ends; undefined when it is cut. A pointer ends a name (RFC 1035, 4.1.4). */
export function nameEnd(bytes: Uint8Array, at: number): number | undefined {
  for (let end = at; end < bytes.length;) {
    const length = bytes[end]!;
    if (length === 0) return end + 1;
    if (length >= 0xc0) return end + 2 <= bytes.length ? end + 2 : undefined;
    if (length > maxLabelBytes || end - at > maxNameBytes) return undefined;
    end += 1 + length;
  }
  return undefined;
}

/** Used by one call at a time: a string for each letter would be garbage. */
const nameText = Buffer.alloc(maxNameBytes);

export function readQuery(bytes: Uint8Array): Reading {
  if (bytes.length < headerBytes) return nothing;
  const flags = word(bytes, 2);
  if ((flags & flagBits.response) !== 0) return nothing;
  if ((flags & flagBits.opcode) !== 0) return { kind: "wrong", code: responseCodes.notImplemented };
  if (word(bytes, 4) !== 1) return malformed;
  let at = headerBytes;
  let letters = 0;
  let labels = 0;
  let odd = false;
  for (;;) {
    if (at >= bytes.length) return malformed;
    const length = bytes[at++]!;
    if (length === 0) break;
    if (length > maxLabelBytes || at + length >= bytes.length || at + length - headerBytes > maxNameBytes - 1)
      return malformed;
    if (labels++ > 0) nameText[letters++] = 0x2e;
    for (const end = at + length; at < end; at++) {
      const byte = bytes[at]!;
      if (byte === 0x2e || byte <= 0x20) odd = true;
      nameText[letters++] = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
    }
  }
  if (at + 4 > bytes.length) return malformed;
  const end = at + 4;
  const name = nameText.toString("latin1", 0, letters);
  const question = {
    id: word(bytes, 0),
    flags,
    name,
    labels,
    odd,
    type: word(bytes, at),
    class: word(bytes, at + 2),
    end,
  };
  const additional = word(bytes, 10);
  if (additional === 0) return { kind: "question", question };
  const edns = readEdns(bytes, end, word(bytes, 6) + word(bytes, 8), additional);
  if (edns === "malformed") return malformed;
  return { kind: "question", question: edns === undefined ? question : { ...question, edns } };
}

/** The OPT record behind `before` other records. */
function readEdns(
  bytes: Uint8Array,
  from: number,
  before: number,
  additional: number,
): Question["edns"] | undefined | "malformed" {
  let at = from;
  for (let index = 0; index < before + additional; index++) {
    const fixed = nameEnd(bytes, at);
    if (fixed === undefined || fixed + 10 > bytes.length) return "malformed";
    const dataBytes = word(bytes, fixed + 8);
    if (fixed + 10 + dataBytes > bytes.length) return "malformed";
    if (index >= before && word(bytes, fixed) === recordTypes.OPT && fixed === at + 1)
      return {
        udpBytes: Math.max(word(bytes, fixed + 2), smallestUdpBytes),
        wantsSignatures: (bytes[fixed + 6]! & 0x80) !== 0,
        hasOptions: dataBytes > 0,
      };
    at = fixed + 10 + dataBytes;
  }
  return undefined;
}
