/**
 * Records of json-file logs: one JSON object per line, `{"log":"text\n","stream":"stdout","time":"…","attrs":{…}}`. Bytes that are not UTF-8
 * are U+FFFD in "log"; such a record has all its bytes in a member "bytes" (base64), which other readers of the format skip. When the clock was
 * set back, a record can be older than an earlier one; it then has the latest earlier time in "latest". A record whose text has no newline is a
 * piece of a longer line; all pieces of a line have the same time.
 *
 * A log may be damaged (a power loss leaves zeros and half records). Every whole record is found, also after garbage on the same line, and
 * damaged bytes are counted. At most one chunk and one record of `maxRecordBytes` are in memory.
 */
import { isObject } from "@fathom/spec";

/** Largest record without its attributes: 16 KiB of text, and at most six bytes for each of them. */
export const maxRecordBytes = 1024 * 1024;
const newline = 10;
/** How each record begins. It cannot occur inside a text, because quotes are escaped there. */
const recordStart = Buffer.from('{"log":"');

export interface LogRecord {
  readonly log: string;
  /** The bytes that were written, when they are not UTF-8: then `log` has U+FFFD. */
  readonly bytes?: Buffer;
  readonly stream: "stdout" | "stderr";
  /** As in the file: RFC3339Nano. */
  readonly time: string;
  /** The latest earlier time in the log, when it is later than the record's own time. */
  readonly latest?: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What is in a file, in its order. `offset` is where it begins. */
export type LogEntry =
  | { readonly kind: "record"; readonly record: LogRecord; readonly offset: number }
  | { readonly kind: "damage"; readonly bytes: number; readonly offset: number }
  /** A file that cannot be read, or the rest of one. */
  | { readonly kind: "missing"; readonly what: string; readonly offset: 0 };

/** Splits arriving bytes into records. */
export class RecordSplitter {
  #rest: Buffer = Buffer.alloc(0);
  /** Position in the file where `#rest` begins. */
  #offset: number;

  constructor(offset: number) {
    this.#offset = offset;
  }

  /** Bytes that are not a whole line yet. */
  get unfinished(): number {
    return this.#rest.length;
  }

  push(chunk: Buffer): LogEntry[] {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const entries: LogEntry[] = [];
    let start = 0;
    for (let end = data.indexOf(newline); end >= 0; end = data.indexOf(newline, start)) {
      if (end > start) addLine(entries, data.subarray(start, end), this.#offset + start);
      start = end + 1;
    }
    this.#keep(entries, data.subarray(start), this.#offset + start);
    return entries;
  }

  /** Of a line that does not end, the part from where a record may begin is kept. */
  #keep(entries: LogEntry[], rest: Buffer, offset: number): void {
    let from = 0;
    if (rest.length > maxRecordBytes) {
      from = rest.lastIndexOf(recordStart);
      // The last bytes may be a part of a record's beginning.
      if (from <= 0) from = rest.length - recordStart.length + 1;
      entries.push({ kind: "damage", bytes: from, offset });
    }
    this.#rest = Buffer.from(rest.subarray(from));
    this.#offset = offset + from;
  }

  /** The end of the file: an unfinished line is what a power loss left. */
  end(): LogEntry[] {
    const entries: LogEntry[] = [];
    if (this.#rest.length > 0) addLine(entries, this.#rest, this.#offset);
    this.#offset += this.#rest.length;
    this.#rest = Buffer.alloc(0);
    return entries;
  }
}

/** The whole records in a line that is not a record itself: after a power loss, a writer continues on the same line. */
function addLine(entries: LogEntry[], line: Buffer, offset: number): void {
  const whole = parseLogLine(line);
  if (whole !== undefined) {
    entries.push({ kind: "record", record: whole, offset });
    return;
  }
  let damaged = 0;
  for (let start = 0; start < line.length;) {
    const next = line.indexOf(recordStart, start + 1);
    const end = next < 0 ? line.length : next;
    const part = line.subarray(start, end);
    const length = part.lastIndexOf("}") + 1;
    const record = part.indexOf(recordStart) === 0 && length > 0 ? parseLogLine(part.subarray(0, length)) : undefined;
    if (record === undefined) damaged += part.length;
    else {
      if (damaged > 0) entries.push({ kind: "damage", bytes: damaged, offset: offset + start - damaged });
      entries.push({ kind: "record", record, offset: offset + start });
      damaged = part.length - length;
    }
    start = end;
  }
  if (damaged > 0) entries.push({ kind: "damage", bytes: damaged, offset: offset + line.length - damaged });
}

/** undefined for a line that is not a record. */
function parseLogLine(line: Buffer): LogRecord | undefined {
  // A power loss may leave 100 MB; no byte of them is examined twice.
  if (line[0] !== 0x7b) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line.toString("utf8"));
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { log, stream, time, attrs, bytes, latest } = value;
  if (typeof log !== "string" || typeof time !== "string") return undefined;
  const attributes: Record<string, string> = {};
  if (typeof attrs === "object" && attrs !== null)
    for (const [key, text] of Object.entries(attrs)) if (typeof text === "string") attributes[key] = text;
  return {
    log,
    ...(typeof bytes === "string" ? { bytes: Buffer.from(bytes, "base64") } : {}),
    stream: stream === "stderr" ? "stderr" : "stdout",
    time,
    ...(typeof latest === "string" ? { latest } : {}),
    attributes,
  };
}
