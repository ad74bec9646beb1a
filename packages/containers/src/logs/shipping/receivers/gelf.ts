/** GELF 1.1 (Graylog): JSON over UDP, compressed and in chunks, or over TCP, each ended by a zero byte. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { deflateSync, gzipSync } from "node:zlib";
import { EngineError } from "@fathom/base";
import type { GelfDestination, ReceiverConnection, ShippedRecord } from "../destination.ts";
import { openStream } from "./byte-stream.ts";
import { openDatagrams, type DatagramSys } from "./datagrams.ts";

const levels = { stdout: 6, stderr: 3 } as const;
/** A datagram, with its header of 12 bytes; smaller than what an Ethernet frame carries. */
const chunkBytes = 1420;
const headerBytes = 12;
const mostChunks = 128;

export function gelfMessage(
  fields: Readonly<Record<string, string>>,
  host: string,
  { line, stream, timeNs }: ShippedRecord,
): Buffer {
  return Buffer.from(
    JSON.stringify({
      version: "1.1",
      host,
      short_message: line.toString("utf8"),
      timestamp: Number(timeNs / 1_000_000n) / 1000,
      level: levels[stream],
      ...fields,
    }),
  );
}

/** One datagram, or several with a header: magic, message id, number, count. @throws invalid-argument when it needs more than 128 */
export function gelfChunks(message: Buffer, id: Buffer = randomBytes(8)): Buffer[] {
  if (message.length <= chunkBytes) return [message];
  const room = chunkBytes - headerBytes;
  const count = Math.ceil(message.length / room);
  if (count > mostChunks)
    throw new EngineError(
      "invalid-argument",
      `a message of ${message.length} bytes needs more than ${mostChunks} chunks`,
    );
  return Array.from({ length: count }, (_none, index) =>
    Buffer.concat([
      Buffer.from([0x1e, 0x0f]),
      id,
      Buffer.from([index, count]),
      message.subarray(index * room, (index + 1) * room),
    ]),
  );
}

/** @throws ReceiverUnreachable */
export async function openGelf(sys: DatagramSys, destination: GelfDestination): Promise<ReceiverConnection> {
  const { place, fields, compression, level } = destination;
  const host = hostname();
  const encode = (record: ShippedRecord): Buffer => gelfMessage(fields, host, record);
  if (place.kind === "tcp") {
    const stream = await openStream(place);
    return {
      async send(records) {
        const parts = records
          .filter(({ line }) => line.length > 0)
          .flatMap((record) => [encode(record), Buffer.from([0])]);
        if (parts.length > 0) await stream.write(Buffer.concat(parts));
      },
      close: () => stream.close(),
    };
  }
  const pack = (message: Buffer): Buffer =>
    compression === "gzip"
      ? gzipSync(message, { level })
      : compression === "zlib"
        ? deflateSync(message, { level })
        : message;
  const datagrams = await openDatagrams(sys, place);
  return {
    async send(records) {
      for (const record of records)
        if (record.line.length > 0) for (const chunk of gelfChunks(pack(encode(record)))) await datagrams.send(chunk);
    },
    close: () => datagrams.close(),
  };
}
