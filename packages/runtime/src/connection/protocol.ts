/**
 * The messages between the daemon and a supervisor, over a unix stream socket. `native/init/README.md` has the table.
 *
 * One message: u32 magic, u32 payload length, u32 type, u32 request id, payload; little-endian. Descriptors are sent with the header's first
 * byte. An answer has its request's id; a message that answers no request has id 0.
 */
import { EngineError } from "@fathom/base";
import { WireReader, WireWriter } from "../plan/wire.ts";

const messageMagic = 0x314d5446;
export const headerBytes = 16;
/** Larger plans are sent as a memory file: a message must fit into the socket's buffer, so that sending never waits. */
export const inlinePlanLimitBytes = 64 << 10;
/** As MESSAGE_LIMIT in supervisor.h. */
const messageLimitBytes = 1 << 20;

export const messageTypes = {
  prepare: 1,
  launch: 2,
  state: 3,
  attach: 4,
  exec: 5,
  signal: 6,
  resize: 7,
  start: 8,
  reopenLog: 9,
  hello: 10,
  place: 11,
  ok: 64,
  error: 65,
  exit: 96,
  execExit: 97,
} as const;

/**
 * This daemon's version. 1: before hello. 2: hello. A supervisor runs longer than the daemon that made it, and an older daemon may replace a
 * newer one. So each side uses only what the other has named. A version says which messages exist; a feature says what a message may contain in
 * addition.
 */
const protocolVersion = 2;
/** Features of this daemon: none yet. */
const ownFeatures: readonly string[] = [];

export const launchFlags = {
  openStdin: 1,
  log: 2,
  planByDescriptor: 4,
  root: 8,
  chroot: 16,
  direct: 32,
  gate: 64,
  logEntries: 128,
} as const;
export const attachFlags = { stdin: 1, stdout: 2, stderr: 4, closeStdin: 8 } as const;

export interface Message {
  readonly type: number;
  readonly id: number;
  readonly payload: Uint8Array;
}

/** A request that the supervisor rejected, or that failed in its child: facts without words. */
export class SupervisorFailure extends Error {
  /** Index in the plan's operations; undefined for failures before them (cgroups, namespaces) and for other requests. */
  readonly operation: number | undefined;
  readonly errno: number;
  /** The failing call: "execve", "openat2". */
  readonly call: string;
  readonly detail: string;

  constructor(operation: number | undefined, errno: number, call: string, detail: string) {
    super(`${call}${detail === "" ? "" : ` ${detail}`}: errno ${errno}`);
    this.name = "SupervisorFailure";
    this.operation = operation;
    this.errno = errno;
    this.call = call;
    this.detail = detail;
  }
}

export function parseFailure(payload: Uint8Array): SupervisorFailure {
  const reader = new WireReader(payload);
  const operation = reader.u32();
  return new SupervisorFailure(
    operation === 0xffffffff ? undefined : operation,
    reader.i32(),
    reader.text(),
    reader.text(),
  );
}

/** The first message on every connection: version and features. */
export function helloPayload(): Uint8Array {
  return new WireWriter(64)
    .u32(protocolVersion)
    .list(ownFeatures, () => undefined)
    .finish();
}

/** As enum phase in supervisor.h: in lower phases the program does not run yet. */
export const phaseWaiting = 4;

export interface SupervisorState {
  readonly phase: number;
  readonly pid: number;
  readonly supervisorPid: number;
  readonly startedAt: string;
}

export function readState(payload: Uint8Array): SupervisorState {
  const reader = new WireReader(payload);
  return { phase: reader.u32(), pid: reader.u32(), supervisorPid: reader.u32(), startedAt: reader.text() };
}

/** Header and payload as one buffer. */
export function frame(type: number, id: number, payload: Uint8Array): Uint8Array {
  const writer = new WireWriter(headerBytes + payload.length);
  writer.u32(messageMagic).u32(payload.length).u32(type).u32(id);
  const whole = new Uint8Array(headerBytes + payload.length);
  whole.set(writer.finish());
  whole.set(payload, headerBytes);
  return whole;
}

/** Splits a byte stream into messages. */
export class MessageParser {
  #rest: Uint8Array = new Uint8Array();

  /** @throws internal when the bytes are no messages. */
  *push(chunk: Uint8Array): Generator<Message> {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    let at = 0;
    while (bytes.length - at >= headerBytes) {
      const header = new WireReader(bytes.subarray(at, at + headerBytes));
      const magic = header.u32();
      const length = header.u32();
      if (magic !== messageMagic || length > messageLimitBytes)
        throw new EngineError("internal", "the supervisor's socket does not speak its protocol");
      if (bytes.length - at < headerBytes + length) break;
      const type = header.u32();
      const id = header.u32();
      const payload = bytes.slice(at + headerBytes, at + headerBytes + length);
      at += headerBytes + length;
      yield { type, id, payload };
    }
    this.#rest = bytes.slice(at);
  }
}
