/**
 * Sends one container's records to its receiver: from the spool through the backlog. It ends when the container does not run and everything
 * was sent, or when it is stopped; then the next one continues at the written position.
 */
import { messageOf, parseRfc3339Nano, randomId, settlesWithin, systemClock, Turns, type Logger } from "@fathom/base";
import { chunkBytes } from "../log-file.ts";
import type { LogEntry, LogRecord } from "../log-record.ts";
import { Backlog, type Waiting } from "./backlog.ts";
import type { LogDestination, ReceiverConnection, ShippedRecord } from "./destination.ts";
import { PositionFile, type SpoolPosition } from "./position-file.ts";
import { SpoolReader } from "./spool-reader.ts";

/** A receiver that works takes a chunk in this time; a lossy buffer drops nothing before. */
const graceMs = 100;
const longestWaitMs = 30_000;
const reportEveryMs = 10_000;
/** A receiver may be away for days: then not every try is in the daemon's log. */
const loudTries = 4;
const seldom = 20;

export interface ShipperParts {
  readonly id: string;
  readonly spool: string;
  readonly position: string;
  readonly destination: LogDestination;
  readonly open: () => Promise<ReceiverConnection>;
  /** True while the container may write more. */
  readonly alive: () => boolean;
  /** Resolves when the spool may have changed. */
  readonly changed: (signal: AbortSignal) => Promise<void>;
  readonly logger: Logger;
}

export class Shipper {
  readonly #parts: ShipperParts;
  readonly #stop = new AbortController();
  readonly #backlog: Backlog;
  readonly #position: PositionFile;
  readonly #pieces = new Map<LogRecord["stream"], { id: string; ordinal: number; time: string }>();
  #connection: ReceiverConnection | undefined;
  #sentTo: SpoolPosition | undefined;
  #readTo: SpoolPosition | undefined;
  #dropped = 0;
  #reportedAt = Number.NEGATIVE_INFINITY;
  /** Resolves at the end of the work. Never rejects. */
  readonly ended: Promise<void>;

  /** @param connection The one that the start has opened. */
  constructor(parts: ShipperParts, connection: ReceiverConnection | undefined) {
    this.#parts = parts;
    this.#connection = connection;
    this.#backlog = new Backlog(parts.destination.buffer.bytes);
    this.#position = new PositionFile(parts.position);
    this.ended = this.#run();
  }

  /** Ends now; what was not sent stays in the spool. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const { id, logger } = this.#parts;
    const reading = this.#read().catch((error: unknown) => {
      if (!signal.aborted) logger.error("reading a container's log for its receiver failed", { id, error });
    });
    void reading.finally(() => this.#backlog.end());
    signal.addEventListener("abort", () => this.#backlog.end(), { once: true });
    try {
      for (let batch = await this.#backlog.batch(); batch !== undefined; batch = await this.#backlog.batch()) {
        if (signal.aborted) break;
        if (!(await this.#deliver(batch))) break;
        this.#backlog.done(batch);
        const after = batch.findLast((waiting) => waiting.after !== undefined)?.after;
        if (after !== undefined) this.#write(after);
        if (this.#backlog.isEmpty && this.#readTo !== undefined && this.#readTo !== this.#sentTo)
          this.#write(this.#readTo);
        this.#report();
      }
      await reading;
      if (!signal.aborted && this.#readTo !== undefined) this.#write(this.#readTo);
    } catch (error) {
      logger.error("sending a container's log failed", { id, error });
    }
    this.#report(true);
    await this.#disconnect();
    this.#position[Symbol.dispose]();
  }

  #write(position: SpoolPosition): void {
    this.#sentTo = position;
    try {
      this.#position.write(position);
    } catch (error) {
      this.#parts.logger.warn("the position in a container's log could not be written", { id: this.#parts.id, error });
    }
  }

  /** Puts the spool's records into the backlog, until the container has ended. */
  async #read(): Promise<void> {
    const { signal } = this.#stop;
    const turns = new Turns(signal);
    using reader = new SpoolReader(this.#parts.spool, this.#position.read());
    for (;;) {
      // Asked before reading: bytes that are written after the last read and before the end must not be lost.
      const alive = this.#parts.alive();
      for (let part = reader.next(); part !== undefined; part = reader.next()) {
        signal.throwIfAborted();
        await this.#put(part.entries, part.after);
        await turns.after(chunkBytes);
      }
      if (!alive || signal.aborted) return;
      await this.#parts.changed(signal);
    }
  }

  async #put(entries: readonly LogEntry[], after: SpoolPosition): Promise<void> {
    const { signal } = this.#stop;
    const { lossy } = this.#parts.destination.buffer;
    const records = entries.flatMap((entry) => this.#shipped(entry) ?? []);
    let waits = true;
    for (const [index, record] of records.entries()) {
      const waiting: Waiting = index === records.length - 1 ? { record, after } : { record };
      while (!this.#backlog.fits(waiting) && waits && !signal.aborted) {
        const room = await settlesWithin(this.#backlog.room(), lossy ? graceMs : undefined, { signal });
        // From here on the rest of this part is dropped: the receiver does not take it.
        if (!room && lossy) waits = false;
      }
      signal.throwIfAborted();
      if (!this.#backlog.push(waiting)) this.#dropped += this.#backlog.takeDropped();
    }
    this.#readTo = after;
  }

  #shipped(entry: LogEntry): ShippedRecord | undefined {
    if (entry.kind === "damage") return undefined;
    if (entry.kind === "missing")
      return {
        stream: "stderr",
        line: Buffer.from(`fathom: ${entry.what}`),
        timeNs: systemClock.nowNs(),
      };
    const { record } = entry;
    const bytes = record.bytes ?? Buffer.from(record.log);
    const whole = bytes.at(-1) === 10;
    return {
      stream: record.stream,
      line: whole ? bytes.subarray(0, -1) : bytes,
      timeNs: parseRfc3339Nano(record.time) ?? 0n,
      ...this.#pieceOf(record, whole),
    };
  }

  /** All pieces of a line have the time of the first. */
  #pieceOf({ stream, time }: LogRecord, last: boolean): Pick<ShippedRecord, "piece"> | undefined {
    const before = this.#pieces.get(stream);
    const piece = before?.time === time ? before : undefined;
    this.#pieces.delete(stream);
    if (piece === undefined && last) return undefined;
    const { id, ordinal } = piece ?? { id: randomId(), ordinal: 0 };
    if (!last) this.#pieces.set(stream, { id, ordinal: ordinal + 1, time });
    return { piece: { id, ordinal: ordinal + 1, last } };
  }

  /** False when the shipper was stopped first. */
  async #deliver(batch: readonly Waiting[]): Promise<boolean> {
    const { signal } = this.#stop;
    const { id, destination, logger } = this.#parts;
    let waitMs = destination.retry.waitMs;
    for (let tries = 1; ; tries++) {
      try {
        if (this.#connection?.isOld?.() === true) await this.#disconnect();
        const connection = (this.#connection ??= await this.#connect());
        if (connection === undefined) return false;
        const sending = connection.send(batch.map(({ record }) => record));
        if (await settlesWithin(sending, undefined, { signal })) {
          await sending;
          if (tries > 2) logger.info("a container's log is sent again", { id, receiver: destination.receiver.kind });
          return true;
        }
        return false;
      } catch (error) {
        await this.#disconnect();
        if (signal.aborted) return false;
        if (tries >= destination.retry.most) {
          this.#dropped += batch.length;
          return true;
        }
        // The first new connection is made at once: the old one may only have been idle for too long.
        if (tries === 1) continue;
        if (tries <= loudTries || tries % seldom === 0)
          logger.warn("a container's log could not be sent; it is tried again", {
            id,
            receiver: destination.receiver.kind,
            error: messageOf(error),
            waitMs,
          });
      }
      try {
        await systemClock.sleep(waitMs, signal);
      } catch {
        return false;
      }
      waitMs = Math.min(waitMs * 2, longestWaitMs);
    }
  }

  /** undefined when the shipper was stopped first; a connection that is made later is closed. */
  async #connect(): Promise<ReceiverConnection | undefined> {
    const opening = this.#parts.open();
    if (await settlesWithin(opening, undefined, this.#stop)) return opening;
    void opening.then((late) => late.close()).catch(() => undefined);
    return undefined;
  }

  async #disconnect(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.close().catch(() => undefined);
  }

  #report(atEnd = false): void {
    const now = performance.now();
    if (this.#dropped === 0 || (!atEnd && now - this.#reportedAt < reportEveryMs)) return;
    this.#reportedAt = now;
    const { id, destination, logger } = this.#parts;
    logger.warn("records of a container's log were dropped: the receiver did not take them in time", {
      id,
      receiver: destination.receiver.kind,
      records: this.#dropped,
    });
    this.#dropped = 0;
  }
}
