/** DNS over TCP: each message follows its length in two bytes (RFC 1035, 4.2.2). */
import { put } from "./answer.ts";
import { word } from "./question.ts";

export function frame(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + message.length);
  put(bytes, 0, message.length);
  bytes.set(message, 2);
  return bytes;
}

/** Cuts a stream into messages. It holds at most one message that is not complete. */
export class FrameReader {
  readonly #maxBytes: number;
  #rest: Uint8Array = new Uint8Array();

  /** @param maxBytes The longest message; 64 KiB when absent. */
  constructor(maxBytes = 0xffff) {
    this.#maxBytes = maxBytes;
  }

  /** The messages that are complete now; undefined when one is too long. */
  push(chunk: Uint8Array): Uint8Array[] | undefined {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Uint8Array[] = [];
    let at = 0;
    while (bytes.length - at >= 2) {
      const length = word(bytes, at);
      if (length > this.#maxBytes) return undefined;
      if (bytes.length - at - 2 < length) break;
      messages.push(Uint8Array.from(bytes.subarray(at + 2, at + 2 + length)));
      at += 2 + length;
    }
    this.#rest = Uint8Array.from(bytes.subarray(at));
    return messages;
  }
}
