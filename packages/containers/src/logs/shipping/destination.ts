/** Where a container's records are sent, as plain data, and what a receiver must do. */
import type { LogRecord } from "../log-record.ts";

/** A stream connection. */
export type StreamPlace =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "tls"; readonly host: string; readonly port: number; readonly identity: TlsIdentity }
  | { readonly kind: "unix"; readonly path: string };

/** Paths of PEM files. */
export interface TlsIdentity {
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly verify: boolean;
}

export type DatagramPlace =
  | { readonly kind: "udp"; readonly host: string; readonly port: number }
  | { readonly kind: "unixgram"; readonly path: string };

export type SyslogFormat = "unix" | "rfc3164" | "rfc5424" | "rfc5424micro";

export interface SyslogDestination {
  readonly kind: "syslog";
  /** "local": the host's own syslog socket, wherever it is. */
  readonly place: StreamPlace | DatagramPlace | { readonly kind: "local" };
  /** 0 to 23. */
  readonly facility: number;
  readonly format: SyslogFormat;
  readonly tag: string;
}

export interface GelfDestination {
  readonly kind: "gelf";
  readonly place: Extract<StreamPlace, { kind: "tcp" }> | Extract<DatagramPlace, { kind: "udp" }>;
  readonly compression: "gzip" | "zlib" | "none";
  /** -1 to 9. */
  readonly level: number;
  /** Additional fields, with their underscore. */
  readonly fields: Readonly<Record<string, string>>;
}

export interface FluentdDestination {
  readonly kind: "fluentd";
  readonly place: StreamPlace;
  readonly tag: string;
  /** Members of each record. */
  readonly fields: Readonly<Record<string, string>>;
  readonly subSecondPrecision: boolean;
  /** The receiver must confirm each batch. */
  readonly requestAck: boolean;
  /** Without a value: 30 s. */
  readonly writeLimitMs?: number;
  readonly readLimitMs?: number;
  /** The connection is made anew this often. */
  readonly reconnectMs?: number;
}

export interface JournaldDestination {
  readonly kind: "journald";
  readonly socket: string;
  readonly fields: Readonly<Record<string, string>>;
}

export type Receiver = SyslogDestination | GelfDestination | FluentdDestination | JournaldDestination;

export interface LogDestination {
  readonly receiver: Receiver;
  /** A start waits until the receiver is connected, and fails without it. */
  readonly connectFirst: boolean;
  /** What waits for the receiver in memory. `lossy`: what is more is dropped; else reading waits. */
  readonly buffer: { readonly bytes: number; readonly lossy: boolean };
  /** A batch that failed is tried again after `waitMs`, then after twice as long …; after `most` tries it is dropped. */
  readonly retry: { readonly waitMs: number; readonly most: number };
}

/** A record with what a receiver is told about lines that are longer than a record. */
export interface ShippedRecord {
  readonly stream: LogRecord["stream"];
  /** Without the newline. */
  readonly line: Buffer;
  /** Nanoseconds since the epoch. */
  readonly timeNs: bigint;
  /** A piece of a longer line. */
  readonly piece?: { readonly id: string; readonly ordinal: number; readonly last: boolean };
}

/** A connection to a receiver. */
export interface ReceiverConnection {
  /**
   * Sends the records in order. Resolves when the receiver has them, as far as the protocol shows that: they are in the kernel's buffers, or
   * confirmed. After an error the connection is of no use any more, and the whole batch is sent again on another.
   */
  send(records: readonly ShippedRecord[]): Promise<void>;
  /** True when the next batch should have a new connection; absent: never. */
  readonly isOld?: () => boolean;
  close(): Promise<void>;
}

/** A receiver cannot be reached. `cause` is the system's error. */
export class ReceiverUnreachable extends Error {
  override readonly name = "ReceiverUnreachable";
  constructor(
    /** "tcp", "unix", … as Go names them. */
    readonly network: string,
    readonly address: string,
    readonly reason: string,
    options?: { cause?: unknown },
  ) {
    super(`${network} ${address}: ${reason}`, options);
  }
}
