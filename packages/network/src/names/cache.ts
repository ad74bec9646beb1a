/** Answers of upstream servers, for as long as they may be kept. It holds a limited number of bytes; the ones unused for longest go first. */
import type { Clock } from "@fathom/base";
import { flagBits, headerBytes, type Question } from "./question.ts";
import type { UpstreamResponse } from "./response.ts";
import { put } from "./answer.ts";

const maxBytes = 2 << 20;
/** What an entry needs beside its bytes, about. */
const entryBytes = 400;
/** Longer answers are rare, and each would replace many others. */
const maxAnswerBytes = 4096;
const maxKeepSeconds = 3600;
/** "There is none" is believed for less time. */
const maxNegativeSeconds = 300;

interface Kept {
  readonly response: UpstreamResponse;
  readonly sinceMs: number;
  readonly untilMs: number;
}

/**
 * The key of a question to some servers; undefined when its answer may be for one client alone (EDNS options such as cookies and client
 * subnets), or is not for the internet class.
 */
export function cacheKey(servers: string, query: Uint8Array, question: Question): string | undefined {
  if (question.edns?.hasOptions === true || question.class !== 1) return undefined;
  const flags = question.flags & (flagBits.recursionDesired | flagBits.checkingDisabled | flagBits.authenticData);
  const edns = question.edns === undefined ? 0 : question.edns.wantsSignatures ? 2 : 1;
  // The bytes of the name and not its text: a label may contain a dot.
  const name = question.odd ? Buffer.from(query.subarray(headerBytes, question.end)).toString("latin1") : question.name;
  return `${servers} ${question.type} ${flags} ${edns} ${name}`;
}

export class ResponseCache {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#kept.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The answer for this query, with the times that are left. */
  get(key: string, query: Uint8Array, question: Question): Uint8Array | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs >= kept.untilMs) {
      this.#delete(key, kept);
      return undefined;
    }
    // The last one of a map is the one used last.
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    return answerFor(kept.response, query, question, Math.floor((nowMs - kept.sinceMs) / 1000));
  }

  set(key: string, response: UpstreamResponse): void {
    const before = this.#kept.get(key);
    if (before !== undefined) this.#delete(key, before);
    const negative = response.code !== 0 || (response.bytes[6] === 0 && response.bytes[7] === 0);
    const seconds = Math.min(response.keepSeconds, negative ? maxNegativeSeconds : maxKeepSeconds);
    if (seconds <= 0 || response.bytes.length > maxAnswerBytes) return;
    const sinceMs = this.#clock.monotonicMs();
    this.#kept.set(key, { response, sinceMs, untilMs: sinceMs + seconds * 1000 });
    this.#bytes += sizeOf(key, response);
    for (const [oldKey, old] of this.#kept) {
      if (this.#bytes <= maxBytes) break;
      this.#delete(oldKey, old);
    }
  }

  #delete(key: string, kept: Kept): void {
    this.#kept.delete(key);
    this.#bytes -= sizeOf(key, kept.response);
  }
}

function sizeOf(key: string, { bytes }: UpstreamResponse): number {
  return key.length * 2 + bytes.length + entryBytes;
}

/** A response to the same question, with this query's id and spelling, `ageSeconds` later. */
export function answerFor(
  { bytes, ttlOffsets }: UpstreamResponse,
  query: Uint8Array,
  { end }: Question,
  ageSeconds: number,
): Uint8Array {
  const answer = Uint8Array.from(bytes);
  answer[0] = query[0]!;
  answer[1] = query[1]!;
  // A response without question is shorter.
  if (bytes[5] === 1) answer.set(query.subarray(headerBytes, end), headerBytes);
  if (ageSeconds > 0) {
    const view = new DataView(answer.buffer);
    for (const at of ttlOffsets) {
      const left = Math.max(0, view.getUint32(at) - ageSeconds);
      put(answer, at, left >>> 16);
      put(answer, at + 2, left & 0xffff);
    }
  }
  return answer;
}
