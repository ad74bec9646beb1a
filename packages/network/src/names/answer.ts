/**
 * Makes our own answers. The question is copied from the query as the client spelled it, and each record points to it.
 */
import { classInternet, flagBits, headerBytes, recordTypes, responseCodes, word, type Question } from "./question.ts";

/** A pointer to the question's name, at the end of the header. */
const questionPointer = 0xc000 | headerBytes;
const optBytes = 11;
/** Larger UDP packets are often lost between hosts (DNS flag day 2020). */
const ownUdpBytes = 1232;

interface Parts {
  readonly query: Uint8Array;
  readonly question: Question;
  readonly code?: number;
  readonly truncated?: boolean;
}

/** A buffer with header and question, and room for `answerBytes` behind it. An OPT record is the last one if the client sent one. */
function begin(
  { query, question, code = 0, truncated = false }: Parts,
  answers: number,
  answerBytes: number,
): Uint8Array {
  const { end, flags, edns } = question;
  const bytes = new Uint8Array(end + answerBytes + (edns === undefined ? 0 : optBytes));
  bytes.set(query.subarray(0, end));
  const kept = flags & (flagBits.opcode | flagBits.recursionDesired | flagBits.checkingDisabled);
  put(bytes, 2, kept | flagBits.response | flagBits.recursionAvailable | (truncated ? flagBits.truncated : 0) | code);
  put(bytes, 6, answers);
  put(bytes, 8, 0);
  put(bytes, 10, edns === undefined ? 0 : 1);
  if (edns !== undefined) {
    const at = end + answerBytes;
    put(bytes, at + 1, recordTypes.OPT);
    put(bytes, at + 3, ownUdpBytes);
  }
  return bytes;
}

export function put(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Fixed fields of a record about the question's name. @returns where its data begins */
function putRecord(bytes: Uint8Array, at: number, type: number, ttlSeconds: number, dataBytes: number): number {
  put(bytes, at, questionPointer);
  put(bytes, at + 2, type);
  put(bytes, at + 4, classInternet);
  put(bytes, at + 6, ttlSeconds >>> 16);
  put(bytes, at + 8, ttlSeconds & 0xffff);
  put(bytes, at + 10, dataBytes);
  return at + 12;
}

/** No record: the name exists but has none of this type, or `code` says why. */
export function emptyAnswer(query: Uint8Array, question: Question, code: number = responseCodes.noError): Uint8Array {
  return begin({ query, question, code }, 0, 0);
}

/** Too long for UDP: the client asks again over TCP. */
export function truncatedAnswer(query: Uint8Array, question: Question, code: number): Uint8Array {
  return begin({ query, question, code, truncated: true }, 0, 0);
}

/** For a query whose question cannot be read. */
export function errorAnswer(query: Uint8Array, code: number): Uint8Array {
  const bytes = new Uint8Array(headerBytes);
  bytes.set(query.subarray(0, 2));
  const kept = word(query, 2) & (flagBits.opcode | flagBits.recursionDesired);
  put(bytes, 2, kept | flagBits.response | flagBits.recursionAvailable | code);
  return bytes;
}

/**
 * The addresses (4 or 16 bytes each), beginning with number `first`. As many as fit into `maxBytes`; when some are left out, the answer is
 * marked as truncated.
 */
export function addressAnswer(
  query: Uint8Array,
  question: Question,
  addresses: readonly Uint8Array[],
  first: number,
  ttlSeconds: number,
  maxBytes: number,
): Uint8Array {
  const length = addresses[0]!.length;
  const room = maxBytes - question.end - (question.edns === undefined ? 0 : optBytes);
  const count = Math.max(0, Math.min(addresses.length, Math.floor(room / (12 + length))));
  const bytes = begin({ query, question, truncated: count < addresses.length }, count, count * (12 + length));
  const type = length === 4 ? recordTypes.A : recordTypes.AAAA;
  for (let index = 0, at = question.end; index < count; index++) {
    const data = putRecord(bytes, at, type, ttlSeconds, length);
    bytes.set(addresses[(first + index) % addresses.length]!, data);
    at = data + length;
  }
  return bytes;
}

/** `name` in the form of `encodeName`. */
export function pointerAnswer(query: Uint8Array, question: Question, name: Uint8Array, ttlSeconds: number): Uint8Array {
  const bytes = begin({ query, question }, 1, 12 + name.length);
  bytes.set(name, putRecord(bytes, question.end, recordTypes.PTR, ttlSeconds, name.length));
  return bytes;
}

/** undefined when it cannot be a name: an empty label, or one that is too long. */
export function encodeName(name: string): Uint8Array | undefined {
  const labels = name.split(".").map((label) => Buffer.from(label));
  if (labels.some(({ length }) => length === 0 || length > 63)) return undefined;
  const bytes = Buffer.concat([...labels.flatMap((label) => [Uint8Array.of(label.length), label]), Uint8Array.of(0)]);
  return bytes.length > 255 ? undefined : bytes;
}
