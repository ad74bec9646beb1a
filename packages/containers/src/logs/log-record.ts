/**
 * Records of json-file logs: one JSON object a line, `{"log":"text\n","stream":"stdout","time":"…","attrs":{…}}`. Text that is no UTF-8 has U+FFFD
 * in "log", and all bytes of the record in a member "bytes" (base64), which other readers of the format skip. A record that is older than one
 * before it, since the clock was set back, has in "latest" the latest time before it. A record whose text has no newline is a piece of a longer line;
 * all pieces of a line carry the same time.
 *
 * A log may be damaged (a power cut leaves zeros and half records): every record that is whole is found, also behind garbage on
 * the same line, and what is none is counted. At most one chunk and one record of `maxRecordBytes` are held in memory.
 */

/** Of a record without its attributes: 16 KiB of text, each byte of it at most six. */
export const maxRecordBytes = 1024 * 1024;
const newline = 10;
/** How each record begins. It cannot be part of a text, where the quotes are escaped. */
const recordStart = Buffer.from('{"log":"');

export interface LogRecord {
  readonly log: string;
  /** What was written, where it is no UTF-8: `log` has U+FFFD then. */
  readonly bytes?: Buffer;
  readonly stream: "stdout" | "stderr";
  /** As written: RFC3339Nano. */
  readonly time: string;
  /** The latest time in the log before it, where that is later than its own. */
  readonly latest?: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What is found in a file, in its order. `offset` is where it begins. */
export type LogEntry =
  | { readonly kind: "record"; readonly record: LogRecord; readonly offset: number }
  | { readonly kind: "damage"; readonly bytes: number; readonly offset: number }
  /** A file, or the rest of one, that cannot be read. */
  | { readonly kind: "missing"; readonly what: string; readonly offset: 0 };

/** Cuts bytes as they come into records. */
export class RecordSplitter {
  #rest: Buffer = Buffer.alloc(0);
  /** Where `#rest` begins in the file. */
  #offset: number;

  constructor(offset: number) {
    this.#offset = offset;
  }

  /** Bytes that are no whole line yet. */
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

  /** A line that does not end is kept from where a record may begin in it. */
  #keep(entries: LogEntry[], rest: Buffer, offset: number): void {
    let from = 0;
    if (rest.length > maxRecordBytes) {
      from = rest.lastIndexOf(recordStart);
      // The last bytes may be the beginning of a beginning.
      if (from <= 0) from = rest.length - recordStart.length + 1;
      entries.push({ kind: "damage", bytes: from, offset });
    }
    this.#rest = Buffer.from(rest.subarray(from));
    this.#offset = offset + from;
  }

  /** No more will come: what is unfinished is what a power cut left. */
  end(): LogEntry[] {
    const entries: LogEntry[] = [];
    if (this.#rest.length > 0) addLine(entries, this.#rest, this.#offset);
    this.#offset += this.#rest.length;
    this.#rest = Buffer.alloc(0);
    return entries;
  }
}

/** Of a line that is no record those in it that are whole: a writer goes on right behind what a power cut left. */
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

/** undefined for a line that is no record. */
function parseLogLine(line: Buffer): LogRecord | undefined {
  // Of the 100 MB that a power cut may leave none is looked at twice.
  if (line[0] !== 0x7b) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line.toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { log, stream, time, attrs, bytes, latest } = value as Record<string, unknown>;
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
