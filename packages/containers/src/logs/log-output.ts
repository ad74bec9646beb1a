/** Records as clients read them: with or without times and attributes, in frames or as raw bytes. */
import { frameHeader } from "@fathom/spec";
import type { LogRecord } from "./log-record.ts";

export interface LogFormat {
  readonly timestamps: boolean;
  readonly details: boolean;
  /** Without a terminal each record is a frame; with one the bytes are raw. */
  readonly tty: boolean;
}

/** Adds the bytes of one record, with the head of a frame when there is no terminal. */
export function addFrame(parts: Buffer[], stream: LogRecord["stream"], bytes: Buffer, tty: boolean): void {
  if (!tty) parts.push(frameHeader(stream === "stdout" ? 1 : 2, bytes.length));
  parts.push(bytes);
}

/** Timestamps have all nine digits; attributes are sorted and escaped as in a query. A line has both only once: its later pieces have none. */
export function formatRecord(record: LogRecord, begins: boolean, format: LogFormat): Buffer {
  let before = "";
  if (begins && format.timestamps) before += `${fixedNano(record.time)} `;
  if (begins && format.details) before += `${formatAttributes(record.attributes)} `;
  if (record.bytes === undefined) return Buffer.from(before + record.log);
  return before === "" ? record.bytes : Buffer.concat([Buffer.from(before), record.bytes]);
}

function formatAttributes(attributes: Readonly<Record<string, string>>): string {
  const escape = (part: string): string =>
    encodeURIComponent(part)
      .replace(/%20/g, "+")
      .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return Object.keys(attributes)
    .sort()
    .map((key) => `${escape(key)}=${escape(attributes[key]!)}`)
    .join(",");
}

/** The time with all nine digits of its fraction. */
export function fixedNano(time: string): string {
  const match = /^([^.Z]+)(?:\.(\d+))?Z$/.exec(time);
  return match ? `${match[1]}.${(match[2] ?? "").padEnd(9, "0")}Z` : time;
}
