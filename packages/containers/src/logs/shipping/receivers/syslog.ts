/** Syslog messages: RFC 3164, RFC 5424 and the form of local daemons, as Docker writes them. */
import { existsSync } from "node:fs";
import { hostname } from "node:os";
import {
  ReceiverUnreachable,
  type DatagramPlace,
  type ReceiverConnection,
  type ShippedRecord,
  type StreamPlace,
  type SyslogDestination,
} from "../destination.ts";
import { openStream } from "./byte-stream.ts";
import { openDatagrams, type DatagramSys } from "./datagrams.ts";

const severities = { stdout: 6, stderr: 3 } as const;
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const localPaths = ["/dev/log", "/var/run/syslog", "/var/run/log"];

export interface SyslogFacts {
  readonly hostname: string;
  readonly pid: number;
}

/** One message with its newline; framed by its length when `counted` (RFC 5425). */
export function syslogMessage(
  { facility, format, tag }: Pick<SyslogDestination, "facility" | "format" | "tag">,
  { stream, line, timeNs }: ShippedRecord,
  facts: SyslogFacts,
  counted: boolean,
): Buffer {
  const priority = facility * 8 + severities[stream];
  const time = new Date(Number(timeNs / 1_000_000n));
  let head: string;
  switch (format) {
    case "unix":
      head = `<${priority}>${stamp(time)} ${tag}[${facts.pid}]: `;
      break;
    case "rfc3164":
      head = `<${priority}>${stamp(time)} ${facts.hostname} ${tag}[${facts.pid}]: `;
      break;
    case "rfc5424":
      head = `<${priority}>1 ${rfc3339(time, "")} ${facts.hostname} ${tag} ${facts.pid} ${tag} - `;
      break;
    case "rfc5424micro": {
      const micros = (timeNs % 1_000_000_000n) / 1000n;
      const fraction = `.${micros.toString().padStart(6, "0")}`;
      head = `<${priority}>1 ${rfc3339(time, fraction)} ${facts.hostname} ${tag} ${facts.pid} ${tag} - `;
    }
  }
  const message = Buffer.concat([Buffer.from(head), line, Buffer.from("\n")]);
  return counted ? Buffer.concat([Buffer.from(`${message.length} `), message]) : message;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** "Jan  2 15:04:05", in the host's time zone. */
function stamp(time: Date): string {
  const day = String(time.getDate()).padStart(2, " ");
  return `${months[time.getMonth()]} ${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

function rfc3339(time: Date, fraction: string): string {
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  const minutes = -time.getTimezoneOffset();
  const zone =
    minutes === 0
      ? "Z"
      : `${minutes < 0 ? "-" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
  return `${date}T${clock}${fraction}${zone}`;
}

/** @throws ReceiverUnreachable */
export async function openSyslog(sys: DatagramSys, destination: SyslogDestination): Promise<ReceiverConnection> {
  const facts = { hostname: hostname(), pid: process.pid };
  const { place, format } = destination;
  if (place.kind === "local") return openLocal(sys, destination);
  const counted = place.kind === "tls" && (format === "rfc5424" || format === "rfc5424micro");
  const encode = (record: ShippedRecord): Buffer => syslogMessage(destination, record, facts, counted);
  if (isDatagram(place)) {
    const datagrams = await openDatagrams(sys, place);
    return {
      async send(records) {
        for (const record of records) if (record.line.length > 0) await datagrams.send(encode(record));
      },
      close: () => datagrams.close(),
    };
  }
  const stream = await openStream(place);
  return {
    async send(records) {
      const messages = records.filter(({ line }) => line.length > 0).map(encode);
      if (messages.length > 0) await stream.write(Buffer.concat(messages));
    },
    close: () => stream.close(),
  };
}

function isDatagram(place: StreamPlace | DatagramPlace): place is DatagramPlace {
  return place.kind === "udp" || place.kind === "unixgram";
}

/** The first of the usual sockets that takes a message. */
async function openLocal(sys: DatagramSys, destination: SyslogDestination): Promise<ReceiverConnection> {
  for (const kind of ["unixgram", "unix"] as const)
    for (const path of localPaths) {
      if (!existsSync(path)) continue;
      try {
        const connection = await openSyslog(sys, { ...destination, place: { kind, path } });
        // A datagram socket shows only when it is used that it takes datagrams: an empty one changes nothing.
        if (kind === "unixgram") sys.sendDatagram(path, new Uint8Array());
        return connection;
      } catch {
        // Not this one.
      }
    }
  throw new ReceiverUnreachable("local", "", "no syslog socket takes messages");
}
