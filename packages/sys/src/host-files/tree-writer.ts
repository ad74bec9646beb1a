/**
 * Writes files and trees below a directory whose file system may never answer, and which a running container may change meanwhile. The process
 * of a writing is that of native/init/calls/write-tree.c: the kernel resolves every path beneath the destination, and no symlink leads out of it.
 */
import { EngineError } from "@fathom/base";
import { GivenUp, TreeProcess, type TreePath, type TreeProcessOptions } from "./tree-process.ts";

/** `path` is the destination, which exists; symlinks in it are followed inside the root. */
export interface TreeWriteRequest extends TreePath {
  /** An existing directory is not replaced by something else, and nothing else by a directory. */
  readonly keepKinds: boolean;
}

/** What the destination is. */
export interface TreePlace {
  readonly directory: boolean;
  readonly readOnly: boolean;
  /** It is on the mount of the root, and not on one inside it. */
  readonly onRootMount: boolean;
}

/** Paths are relative to the destination, not empty, without "." and "..", and at most 4095 bytes long. */
export interface WriteEntry {
  readonly path: Uint8Array;
  /** st_mode: type and permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds since the epoch. */
  readonly mtimeNs: bigint;
  /** Of a regular file. */
  readonly size: number;
  /** Of a symlink its target; of a hard link the path of the other name. */
  readonly target: Uint8Array;
  readonly hardLink: boolean;
  /** Of a device. */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
}

export interface WriteXattr {
  readonly name: string;
  readonly value: Uint8Array;
}

export type WriteRefusalReason =
  | "directory-would-be-replaced"
  | "non-directory-would-be-replaced"
  | "leaves-the-destination"
  | "changed-meanwhile";

/** An entry was not written, and nothing after it. Earlier entries stay. */
export class WriteRefusal extends Error {
  readonly reason: WriteRefusalReason;
  /** As in the request. */
  readonly path: string;

  constructor(reason: WriteRefusalReason, path: string) {
    super(`${path}: ${reason}`);
    this.reason = reason;
    this.path = path;
  }
}

/**
 * `begin`, `data`, `end` and `times` only queue; `send` writes. Disposing ends it, and what was written stays. `place`, `send` and `finish`
 * throw SysError, WriteRefusal, and EngineError: `timeout` when there was no answer; after the signal its reason if that is an EngineError, else
 * `aborted`.
 */
export interface TreeWriting extends Disposable {
  /** Call it first. @throws SysError ENOENT when the destination does not exist */
  place(): Promise<TreePlace>;
  /** Directories above it are made, with mode 0755. An entry with the same name is removed first; a directory stays and gets new attributes. */
  begin(entry: WriteEntry): void;
  /** A part of a regular file. `bytes` can be used again after the call. */
  data(bytes: Uint8Array, offset: number): void;
  /** Sets owner, mode, xattrs and times. A file system without xattrs is no error. */
  end(xattrs: readonly WriteXattr[]): void;
  /** The time of a directory, after everything in it. */
  times(entry: WriteEntry): void;
  /** Resolves when little enough is under way to queue more. */
  send(): Promise<void>;
  /** Resolves when everything is written. */
  finish(): Promise<void>;
}

export type WriteTree = (request: TreeWriteRequest) => TreeWriting;

/** The frames of native/init/calls/write-tree.c. */
const outgoing = { entry: 1, data: 2, xattr: 3, done: 4, times: 5, end: 6 } as const;
const incoming = { place: 1, taken: 2, refused: 3, end: 4, error: 5 } as const;
const keepKindsOption = 1;
const hardLinkFlag = 1;
const entryHeadBytes = 48;
/** Of file content in one frame. */
const partBytes = 128 << 10;
/** So much is sent ahead. The other side reports after each 256 KiB. */
const windowBytes = 1 << 20;

const reasons: Readonly<Record<number, WriteRefusalReason>> = {
  1: "directory-would-be-replaced",
  2: "non-directory-would-be-replaced",
  3: "leaves-the-destination",
  4: "changed-meanwhile",
};

/** @throws EngineError invalid-argument for a zero byte, `timeout` when too many wait already; SysError ENAMETOOLONG */
export function createTreeWriter(options: TreeProcessOptions, waiting: GivenUp = new GivenUp()): WriteTree {
  return (request) => new Writing(request, options, waiting);
}

class Writing implements TreeWriting {
  readonly #process: TreeProcess;
  #queue: Buffer[] = [];
  #sent = 0;
  #taken = 0;

  constructor(request: TreeWriteRequest, options: TreeProcessOptions, waiting: GivenUp) {
    const option = request.keepKinds ? keepKindsOption : 0;
    this.#process = new TreeProcess({ ...request, call: "write-tree", option }, options, waiting);
  }

  async place(): Promise<TreePlace> {
    const bytes = await this.#answer(incoming.place);
    const flag = (at: number): boolean => bytes.readUInt32LE(at) !== 0;
    return { directory: flag(0), readOnly: flag(4), onRootMount: flag(8) };
  }

  begin(entry: WriteEntry): void {
    this.#put(outgoing.entry, entryBytes(entry));
  }

  data(bytes: Uint8Array, offset: number): void {
    for (let at = 0; at < bytes.length; at += partBytes) {
      const part = bytes.subarray(at, at + partBytes);
      const payload = Buffer.allocUnsafe(8 + part.length);
      payload.writeBigUInt64LE(BigInt(offset + at));
      payload.set(part, 8);
      this.#put(outgoing.data, payload);
    }
  }

  end(xattrs: readonly WriteXattr[]): void {
    for (const { name, value } of xattrs)
      this.#put(outgoing.xattr, Buffer.concat([Buffer.from(`${name}\0`, "utf8"), value]));
    this.#put(outgoing.done, Buffer.alloc(0));
  }

  times(entry: WriteEntry): void {
    this.#put(outgoing.times, entryBytes(entry));
  }

  #put(kind: number, payload: Buffer): void {
    const head = Buffer.allocUnsafe(8);
    head.writeUInt32LE(payload.length, 0);
    head.writeUInt32LE(kind, 4);
    this.#queue.push(head, payload);
  }

  async send(): Promise<void> {
    const all = Buffer.concat(this.#queue);
    this.#queue = [];
    for (let at = 0; at < all.length;) {
      const part = all.subarray(at, at + windowBytes / 4);
      this.#process.tell(part);
      at += part.length;
      this.#sent += part.length;
      while (this.#sent - this.#taken > windowBytes) await this.#take();
    }
  }

  async #take(): Promise<void> {
    this.#taken = Number((await this.#answer(incoming.taken)).readBigUInt64LE());
  }

  async finish(): Promise<void> {
    this.#put(outgoing.end, Buffer.alloc(0));
    await this.send();
    for (;;) {
      const [kind, bytes] = await this.#frame();
      if (kind === incoming.end) return this.#process.end();
      if (kind === incoming.taken) this.#taken = Number(bytes.readBigUInt64LE());
    }
  }

  async #answer(wanted: number): Promise<Buffer> {
    const [kind, bytes] = await this.#frame();
    if (kind === wanted) return bytes;
    throw this.#process.stop(new EngineError("internal", `the process that writes sent ${kind} instead of ${wanted}`));
  }

  async #frame(): Promise<readonly [kind: number, bytes: Buffer]> {
    const [kind, length] = await this.#process.frame();
    const bytes = await this.#process.bytes(length);
    if (kind === incoming.error) throw this.#process.failure(bytes);
    if (kind !== incoming.refused) return [kind, bytes];
    const reason = reasons[bytes.readUInt32LE(0)] ?? "changed-meanwhile";
    throw this.#process.stop(new WriteRefusal(reason, bytes.toString("utf8", 4)));
  }

  [Symbol.dispose](): void {
    this.#process.stop(new EngineError("aborted", "the writing was ended"));
  }
}

/** `struct in_entry` of native/init/calls/written-entry.h, the path, the target. */
function entryBytes(entry: WriteEntry): Buffer {
  const head = Buffer.alloc(entryHeadBytes);
  const seconds = floorDivide(entry.mtimeNs, 1_000_000_000n);
  const numbers = [
    entry.mode,
    entry.uid,
    entry.gid,
    entry.rdevMajor,
    entry.rdevMinor,
    entry.hardLink ? hardLinkFlag : 0,
    Number(entry.mtimeNs - seconds * 1_000_000_000n),
    entry.path.length,
  ];
  numbers.forEach((number, index) => head.writeUInt32LE(number, 4 * index));
  head.writeBigInt64LE(seconds, 32);
  head.writeBigUInt64LE(BigInt(entry.size), 40);
  return Buffer.concat([head, entry.path, entry.target]);
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}
