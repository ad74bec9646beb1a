/** Fluentd's forward protocol, "message" mode: [tag, time, record, option]. */
import { randomBytes } from "node:crypto";
import type { FluentdDestination, ReceiverConnection, ShippedRecord } from "../destination.ts";
import { EngineError } from "@fathom/base";
import { openStream } from "./byte-stream.ts";
import { pack, type Packable } from "./message-pack.ts";

const readLimitMs = 30_000;
/** An answer is one small map. */
const mostAnswerBytes = 4096;

export function fluentdMessage(
  { tag, fields, subSecondPrecision }: Pick<FluentdDestination, "tag" | "fields" | "subSecondPrecision">,
  { stream, line, timeNs, piece }: ShippedRecord,
  chunk?: string,
): Buffer {
  const record = new Map<string, Packable>(Object.entries(fields));
  record.set("source", stream);
  record.set("log", { bytes: line });
  if (piece !== undefined) {
    record.set("partial_message", "true");
    record.set("partial_id", piece.id);
    record.set("partial_ordinal", String(piece.ordinal));
    record.set("partial_last", String(piece.last));
  }
  const seconds = Number(timeNs / 1_000_000_000n);
  const time = subSecondPrecision ? { seconds, nanoseconds: Number(timeNs % 1_000_000_000n) } : seconds;
  const option = new Map<string, Packable>(chunk === undefined ? [] : [["chunk", chunk]]);
  return pack([tag, time, record, option]);
}

/** @throws ReceiverUnreachable */
export async function openFluentd(destination: FluentdDestination): Promise<ReceiverConnection> {
  const stream = await openStream(destination.place, destination.writeLimitMs);
  const { reconnectMs } = destination;
  const madeAt = performance.now();
  /** The receiver answers {"ack": chunk} as a map of one text. */
  const confirm = async (chunk: string): Promise<void> => {
    const wanted = pack(new Map([["ack", chunk]]));
    let answer = Buffer.alloc(0);
    while (!answer.includes(wanted)) {
      if (answer.length > mostAnswerBytes) throw new EngineError("data-loss", "the receiver confirmed another message");
      answer = Buffer.concat([answer, await stream.read(destination.readLimitMs ?? readLimitMs)]);
    }
  };
  return {
    async send(records) {
      if (!destination.requestAck) {
        await stream.write(Buffer.concat(records.map((record) => fluentdMessage(destination, record))));
        return;
      }
      for (const record of records) {
        const chunk = randomBytes(16).toString("base64");
        await stream.write(fluentdMessage(destination, record, chunk));
        await confirm(chunk);
      }
    },
    isOld: () => reconnectMs !== undefined && performance.now() - madeAt > reconnectMs,
    close: () => stream.close(),
  };
}
