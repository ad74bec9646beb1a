/**
 * Records as entries, the form of Docker's log driver "local": each is a length (32 bits, big-endian), a message of protocol buffers, and the
 * length again. Message: 1 stream, 2 nanoseconds since 1970, 3 the line without its newline, 4 whether it is a piece of a line, 5 about the
 * piece (1: whether it is the last), 6 attributes (1 key, 2 value). A damaged log is read as JSON logs are: every whole entry is found.
 */
import { formatRfc3339Nano } from "@fathom/base";
import { isUtf8 } from "node:buffer";
import { maxRecordBytes, type LogEntry, type LogRecord } from "./log-record.ts";

export const lengthBytes = 4;
/** How each message begins: its first field is "stdout" or "stderr". */
export const messageStart = Buffer.from("\n\x06std");

/** Splits arriving bytes into records. */
export class EntrySplitter {
  #rest: Buffer = Buffer.alloc(0);
  /** Position in the file where `#rest` begins. */
  #offset: number;

  constructor(offset: number) {
    this.#offset = offset;
  }

  get unfinished(): number {
    return this.#rest.length;
  }

  push(chunk: Buffer): LogEntry[] {
    return this.#split(this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]), false);
  }

  /** The end of the file: half an entry is what a power loss left. */
  end(): LogEntry[] {
    return this.#split(this.#rest, true);
  }

  #split(data: Buffer, isEnd: boolean): LogEntry[] {
    const entries: LogEntry[] = [];
    let at = 0;
    while (at < data.length) {
      const entry = entryAt(data, at);
      if (entry === "more" && !isEnd) break;
      if (entry !== "more" && entry !== undefined) {
        entries.push({ kind: "record", record: entry.record, offset: this.#offset + at });
        at += entry.bytes;
        continue;
      }
      const next = data.indexOf(messageStart, at + lengthBytes + 1);
      // The last bytes may be the beginning of an entry.
      const kept = isEnd ? 0 : lengthBytes + messageStart.length - 1;
      const to = next < 0 ? Math.max(at + 1, data.length - kept) : next - lengthBytes;
      entries.push({ kind: "damage", bytes: to - at, offset: this.#offset + at });
      at = to;
    }
    this.#rest = Buffer.from(data.subarray(at));
    this.#offset += at;
    return joinDamage(entries);
  }
}

function joinDamage(entries: readonly LogEntry[]): LogEntry[] {
  const joined: LogEntry[] = [];
  for (const entry of entries) {
    const last = joined.at(-1);
    if (entry.kind === "damage" && last?.kind === "damage")
      joined[joined.length - 1] = { ...last, bytes: last.bytes + entry.bytes };
    else joined.push(entry);
  }
  return joined;
}

/** "more": the entry may be whole when more bytes have arrived. undefined: here is none. */
function entryAt(
  data: Buffer,
  at: number,
): { readonly record: LogRecord; readonly bytes: number } | "more" | undefined {
  if (data.length - at < lengthBytes) return "more";
  const length = data.readUInt32BE(at);
  if (length === 0 || length > maxRecordBytes) return undefined;
  const head = data.subarray(at + lengthBytes, at + lengthBytes + messageStart.length);
  if (!head.equals(messageStart.subarray(0, head.length))) return undefined;
  const bytes = length + 2 * lengthBytes;
  if (data.length - at < bytes) return "more";
  if (data.readUInt32BE(at + lengthBytes + length) !== length) return undefined;
  const record = decodeMessage(data.subarray(at + lengthBytes, at + lengthBytes + length));
  return record === undefined ? undefined : { record, bytes };
}

/** The fields of a message: numbers and bytes; undefined when it is none. */
function* fieldsOf(message: Buffer): Generator<{ readonly number: number; readonly value: bigint | Buffer }, boolean> {
  let at = 0;
  const varint = (): bigint | undefined => {
    let value = 0n;
    for (let shift = 0n; shift < 70n && at < message.length; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (at < message.length) {
    const key = Number(varint() ?? 0n);
    const value = varint();
    if (key === 0 || value === undefined) return false;
    if ((key & 7) === 0) yield { number: key >> 3, value };
    else if ((key & 7) === 2 && at + Number(value) <= message.length)
      yield { number: key >> 3, value: message.subarray(at, (at += Number(value))) };
    else return false;
  }
  return true;
}

function decodeMessage(message: Buffer): LogRecord | undefined {
  let stream: LogRecord["stream"] = "stdout";
  let timeNs = 0n;
  let line: Buffer = Buffer.alloc(0);
  let ends = true;
  const attributes: Record<string, string> = {};
  const fields = fieldsOf(message);
  for (let next = fields.next(); ; next = fields.next()) {
    if (next.done === true) {
      if (!next.value) return undefined;
      break;
    }
    const { number, value } = next.value;
    if (typeof value === "bigint") {
      if (number === 2) timeNs = value;
      // A piece without field 5 is not the last.
      if (number === 4 && value !== 0n) ends = false;
    } else if (number === 1) stream = value.toString() === "stderr" ? "stderr" : "stdout";
    else if (number === 3) line = value;
    else if (number === 5) ends = lastOf(value);
    else if (number === 6) Object.assign(attributes, attributeOf(value));
  }
  const bytes = ends ? Buffer.concat([line, Buffer.from("\n")]) : Buffer.from(line);
  return {
    log: bytes.toString("utf8"),
    ...(isUtf8(bytes) ? {} : { bytes }),
    stream,
    time: formatRfc3339Nano(timeNs),
    attributes,
  };
}

function lastOf(piece: Buffer): boolean {
  for (const { number, value } of fieldsOf(piece)) if (number === 1) return value !== 0n;
  return false;
}

function attributeOf(bytes: Buffer): Record<string, string> {
  const texts = new Map<number, string>();
  for (const { number, value } of fieldsOf(bytes)) if (typeof value !== "bigint") texts.set(number, value.toString());
  return { [texts.get(1) ?? ""]: texts.get(2) ?? "" };
}
