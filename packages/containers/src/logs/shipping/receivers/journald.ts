/** The systemd journal's own protocol: one datagram for each record. https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ */
import { formatRfc3339Nano, randomId } from "@fathom/base";
import type { JournaldDestination, ReceiverConnection, ShippedRecord } from "../destination.ts";
import { unixDatagrams, type DatagramSys } from "./datagrams.ts";

const priorities = { stdout: "6", stderr: "3" } as const;

/** A field of one line is `NAME=value`; others have their length. */
function field(name: string, value: Buffer): Buffer {
  const end = Buffer.from("\n");
  if (!value.includes(10)) return Buffer.concat([Buffer.from(`${name}=`), value, end]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, value, end]);
}

export function journalMessage(
  fields: Readonly<Record<string, string>>,
  { stream, line, timeNs, piece }: ShippedRecord,
  epoch: string,
  ordinal: number,
): Buffer {
  const all: Record<string, string> = {
    PRIORITY: priorities[stream],
    ...fields,
    SYSLOG_TIMESTAMP: formatRfc3339Nano(timeNs),
    CONTAINER_LOG_EPOCH: epoch,
    CONTAINER_LOG_ORDINAL: String(ordinal),
  };
  if (piece !== undefined) {
    all["CONTAINER_PARTIAL_ID"] = piece.id;
    all["CONTAINER_PARTIAL_ORDINAL"] = String(piece.ordinal);
    all["CONTAINER_PARTIAL_LAST"] = String(piece.last);
    if (!piece.last) all["CONTAINER_PARTIAL_MESSAGE"] = "true";
  }
  return Buffer.concat([
    field("MESSAGE", line),
    ...Object.entries(all).map(([name, value]) => field(name, Buffer.from(value))),
  ]);
}

/** @throws ReceiverUnreachable at the first record */
export async function openJournald(sys: DatagramSys, destination: JournaldDestination): Promise<ReceiverConnection> {
  const datagrams = unixDatagrams(sys, destination.socket);
  const epoch = randomId();
  let ordinal = 0;
  return {
    async send(records) {
      for (const record of records) await datagrams.send(journalMessage(destination.fields, record, epoch, ++ordinal));
    },
    close: () => datagrams.close(),
  };
}
