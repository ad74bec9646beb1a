/** Which records of a log a client wants (by stream, time and number), and what it learns about damaged places in the log. */
import { parseRfc3339Nano } from "@fathom/base";
import { addFrame, fixedNano, formatRecord, type LogFormat } from "./log-output.ts";
import { continues, type LogPosition } from "./log-position.ts";
import type { LogEntry, LogRecord } from "./log-record.ts";

export interface LogSelection extends LogFormat {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tail: number | "all";
  /** Nanoseconds since the epoch. */
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
}

/** The damage that was found in a log. */
export interface LogDamage {
  readonly bytes: number;
  /** Number of damaged places, and the first of them. */
  readonly count: number;
  readonly file: string;
  readonly offset: number;
}

/** The file that is being read. */
export interface LogPlace {
  readonly name: string;
  /** undefined for a compressed file. */
  readonly inode: number | undefined;
}

/** This many damaged places are named one by one. */
const maxNotes = 20;

type Stream = LogRecord["stream"];

export class ChosenRecords {
  readonly #selection: LogSelection;
  /** Lines of the present file that are not wanted. */
  #skipLines = 0;
  /** The client wants the records of each stream from this position on. A stream without an entry: all records. */
  readonly #from = new Map<Stream, LogPosition>();
  readonly #last = new Map<Stream, LogRecord>();
  #lastTime: string | undefined;
  #shownAt = 0;
  #skipped = 0;
  #skippedAt: { readonly file: string; readonly offset: number } | undefined;
  #unnamed = 0;
  #damage: LogDamage | undefined;

  constructor(selection: LogSelection) {
    this.#selection = selection;
  }

  /** The damage so far. */
  get damage(): LogDamage | undefined {
    return this.#damage;
  }

  /** Position in its file of the last record that was shown. */
  get shownAt(): number {
    return this.#shownAt;
  }

  /** True when the last wanted record is not the end of its line. */
  get hasOpenLine(): boolean {
    return [...this.#last.values()].some((record) => !record.log.endsWith("\n") && this.#inTime(record));
  }

  /** The client wants the records from these positions on. */
  beginAt(from: Readonly<Record<Stream, LogPosition>>): void {
    for (const stream of ["stdout", "stderr"] as const) this.#from.set(stream, from[stream]);
  }

  /** The next file begins; this many of its lines are not wanted. */
  beginFile(skipLines: number): void {
    this.#skipLines = skipLines;
  }

  /** Only these files are still to be read: positions in other files are already behind. */
  keepFiles(isAhead: (inode: number) => boolean): void {
    for (const [stream, from] of this.#from) if (!isAhead(from.inode)) this.#from.delete(stream);
  }

  /** @param place The file of the entry. */
  take(entry: LogEntry, place: LogPlace, parts: Buffer[]): void {
    if (entry.kind === "record") return this.#takeRecord(entry.record, entry.offset, place, parts);
    // Damage among lines that are not wanted is not reported.
    if (this.#from.size > 0 && ![...this.#from.values()].every((from) => reached(from, place, entry.offset))) return;
    if (entry.kind === "missing") {
      this.#sum(0, 0, place.name);
      this.#say(`fathom: ${entry.what}`, parts);
      return;
    }
    this.#skippedAt ??= { file: place.name, offset: entry.offset };
    this.#skipped += entry.bytes;
  }

  #takeRecord(record: LogRecord, offset: number, place: LogPlace, parts: Buffer[]): void {
    const { stream } = record;
    const begins = !continues(this.#last.get(stream), record.time);
    this.#last.set(stream, record);
    if (begins && this.#skipLines > 0) {
      this.#skipLines--;
      return;
    }
    const from = this.#from.get(stream);
    if (from !== undefined) {
      if (!reached(from, place, offset)) return;
      this.#from.delete(stream);
    }
    if (!this.#inTime(record)) {
      // Lost lines from a time that is not wanted are not reported either.
      this.#skippedAt = undefined;
      this.#skipped = 0;
      return;
    }
    this.#note(parts);
    this.#shownAt = offset;
    this.#lastTime = record.time;
    if (stream === "stdout" ? this.#selection.stdout : this.#selection.stderr)
      addFrame(parts, stream, formatRecord(record, begins, this.#selection), this.#selection.tty);
  }

  /** All pieces of a line have the time of the first piece, so all are chosen or none. */
  #inTime(record: LogRecord): boolean {
    const { since, until } = this.#selection;
    if (since === undefined && until === undefined) return true;
    const time = parseRfc3339Nano(record.time) ?? 0n;
    return (since === undefined || time >= since) && (until === undefined || time <= until);
  }

  /** Reports what was skipped before this place. */
  #note(parts: Buffer[]): void {
    const at = this.#skippedAt;
    if (at === undefined) return;
    this.#sum(this.#skipped, 1, at.file);
    if (this.#damage!.count <= maxNotes)
      this.#say(
        `fathom: ${this.#skipped} bytes that are no log records were skipped here (${at.file}, from byte ${at.offset} on)`,
        parts,
      );
    else this.#unnamed++;
    this.#skippedAt = undefined;
    this.#skipped = 0;
  }

  /** The end: reports what was skipped before it. */
  end(parts: Buffer[]): void {
    this.#note(parts);
    if (this.#unnamed > 0)
      this.#say(`fathom: bytes that are no log records were skipped at ${this.#unnamed} more places`, parts);
  }

  #sum(bytes: number, count: number, file: string): void {
    const damage = this.#damage;
    this.#damage = {
      bytes: (damage?.bytes ?? 0) + bytes,
      count: (damage?.count ?? 0) + count,
      file: damage?.file ?? this.#skippedAt?.file ?? file,
      offset: damage?.offset ?? this.#skippedAt?.offset ?? 0,
    };
  }

  #say(text: string, parts: Buffer[]): void {
    const { stderr, timestamps, tty } = this.#selection;
    const time = timestamps && this.#lastTime !== undefined ? `${fixedNano(this.#lastTime)} ` : "";
    if (stderr) addFrame(parts, "stderr", Buffer.from(`${time}${text}\n`), tty);
  }
}

function reached(from: LogPosition, { inode }: LogPlace, offset: number): boolean {
  return inode === from.inode && offset >= from.offset;
}
