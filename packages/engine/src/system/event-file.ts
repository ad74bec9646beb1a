/**
 * The past events, in two files below the data root: they outlive the daemon and need no memory. A line is the time of an event in nanoseconds,
 * a space, and the event as JSON without that time. When `current` has enough events it becomes `previous`, so at least that many of the newest
 * can be read. Lines are written together at the end of a turn of the event loop, and not synced: a power cut may take the last ones.
 */
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, read, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "@fathom/base";
import { isObject, type EventMessage } from "@fathom/spec";

/** Events of one file. */
const fileEvents = 10_000;
/** A file may be larger by one event, which carries all labels of its object. */
const fileBytes = 32 << 20;
/** Lines that cannot be written now (a full disk) wait up to this size. */
const waitingBytes = 4 << 20;
const partBytes = 256 << 10;
const newline = 0x0a;

export interface PastRange {
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
  /** The reading ends before the event of this time. */
  readonly before: bigint | undefined;
}

export interface EventFileOptions {
  readonly directory: string;
  /** Called when lines cannot be written, once until it works again. */
  readonly failed: (error: unknown) => void;
  readonly fileEvents?: number;
  readonly fileBytes?: number;
}

export class EventFile {
  readonly #options: EventFileOptions;
  #fd: number | undefined;
  /** Of `current`, as far as this daemon knows: it does not count the lines of earlier ones. */
  #events = 0;
  #bytes = 0;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #scheduled = false;
  #failing = false;

  constructor(options: EventFileOptions) {
    this.#options = options;
  }

  /** Never waits and never fails. */
  append({ timeNano, ...event }: EventMessage): void {
    const line = `${timeNano} ${JSON.stringify(event)}\n`;
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    while (this.#waitingBytes > waitingBytes && this.#waiting.length > 1)
      this.#waitingBytes -= this.#waiting.shift()!.length;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Writes what waits. */
  flush(): void {
    if (this.#waiting.length === 0) return;
    try {
      if (
        this.#events >= (this.#options.fileEvents ?? fileEvents) ||
        this.#bytes >= (this.#options.fileBytes ?? fileBytes)
      )
        this.#rotate();
      const fd = (this.#fd ??= this.#open());
      const bytes = Buffer.from(this.#waiting.join(""), "utf8");
      writeWhole(fd, bytes, this.#bytes);
      this.#events += this.#waiting.length;
      this.#bytes += bytes.length;
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#failing = false;
    } catch (error) {
      // They are written with the next event.
      if (!this.#failing) this.#options.failed(error);
      this.#failing = true;
    }
  }

  #open(): number {
    mkdirSync(this.#options.directory, { recursive: true, mode: 0o700 });
    const fd = openSync(this.#path("current"), "a", 0o600);
    try {
      this.#bytes = fstatSync(fd).size;
      // A daemon that was killed may have left a part of a line.
      if (this.#bytes > 0) this.#bytes += writeSync(fd, "\n");
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  #rotate(): void {
    this.#closeFile();
    try {
      renameSync(this.#path("current"), this.#path("previous"));
    } catch (error) {
      // Somebody has removed the file: a new one begins.
      if (!isErrno(error, "ENOENT")) throw error;
    }
    this.#events = 0;
    this.#bytes = 0;
  }

  #path(name: "current" | "previous"): string {
    return join(this.#options.directory, `${name}.jsonl`);
  }

  /** The stored events in their order. Events that are appended during the reading are not read. @throws when a file cannot be read */
  async *read(range: PastRange): AsyncGenerator<EventMessage> {
    this.flush();
    using opened = new DisposableStack();
    const files = (["previous", "current"] as const).flatMap((name) => {
      const fd = this.#openToRead(name);
      if (fd === undefined) return [];
      opened.defer(() => closeSync(fd));
      return [{ fd, size: fstatSync(fd).size }];
    });
    for (const { fd, size } of files)
      for await (const line of linesOf(fd, size)) {
        const space = line.indexOf(" ");
        const time = space > 0 && /^-?\d+$/.test(line.slice(0, space)) ? BigInt(line.slice(0, space)) : undefined;
        if (time === undefined) continue;
        if (time === range.before) return;
        if ((range.since !== undefined && time < range.since) || (range.until !== undefined && time > range.until))
          continue;
        const event = parseEvent(line.slice(space + 1), time);
        if (event !== undefined) yield event;
      }
  }

  #openToRead(name: "current" | "previous"): number | undefined {
    try {
      return openSync(this.#path(name), "r");
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** At the daemon's end. A later event opens the file again. */
  close(): void {
    this.flush();
    this.#closeFile();
  }

  #closeFile(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/** At the end of a file of `size` bytes. A part of them that was written before an error is taken back. */
function writeWhole(fd: number, bytes: Buffer, size: number): void {
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
  } catch (error) {
    ftruncateSync(fd, size);
    throw error;
  }
}

/** Lines of the first `size` bytes; others wait for their turn after each part. */
async function* linesOf(fd: number, size: number): AsyncGenerator<string> {
  const part = Buffer.allocUnsafe(partBytes);
  let rest: Buffer[] = [];
  for (let at = 0; at < size;) {
    const count = await readPart(fd, part, Math.min(partBytes, size - at), at);
    if (count === 0) return;
    at += count;
    let start = 0;
    for (let end = part.indexOf(newline); end >= 0 && end < count; end = part.indexOf(newline, start)) {
      yield Buffer.concat([...rest, part.subarray(start, end)]).toString("utf8");
      rest = [];
      start = end + 1;
    }
    if (start < count) rest.push(Buffer.from(part.subarray(start, count)));
  }
}

function readPart(fd: number, part: Buffer, length: number, at: number): Promise<number> {
  return new Promise((resolve, reject) =>
    read(fd, part, 0, length, at, (error, count) => (error === null ? resolve(count) : reject(error))),
  );
}

/** undefined for a line that a kill or a power cut has damaged. */
function parseEvent(text: string, timeNano: bigint): EventMessage | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isEvent(value) ? { ...value, timeNano } : undefined;
  } catch {
    return undefined;
  }
}

function isEvent(value: unknown): value is Omit<EventMessage, "timeNano"> {
  if (!isObject(value) || !isObject(value["Actor"])) return false;
  const { Type, Action, Actor, scope, time } = value;
  return (
    [Type, Action, Actor["ID"], scope].every((text) => typeof text === "string") &&
    typeof time === "number" &&
    isObject(Actor["Attributes"] ?? {})
  );
}
