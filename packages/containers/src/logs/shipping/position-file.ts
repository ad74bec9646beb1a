/**
 * How far a container's spool was sent, in a small file beside it. It is written in place with one call: a daemon that is killed leaves the old
 * or the new text. A file that is not readable means the spool's beginning: records twice are better than none.
 */
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { isObject } from "@fathom/spec";

/** Everything before this place was sent. */
export interface SpoolPosition {
  readonly inode: number;
  readonly offset: number;
  /** The file's first bytes: an inode's number may be used again by another file. */
  readonly head: { readonly bytes: number; readonly hash: string };
}

/** Longer than any position. */
const textBytes = 192;

export class PositionFile implements Disposable {
  readonly #path: string;
  #fd: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  read(): SpoolPosition | undefined {
    try {
      const text = Buffer.alloc(textBytes);
      const count = readSync(this.#open(), text, 0, textBytes, 0);
      return decode(JSON.parse(text.toString("utf8", 0, count)));
    } catch {
      return undefined;
    }
  }

  write(position: SpoolPosition): void {
    writeSync(this.#open(), `${JSON.stringify(position)}\n`.padStart(textBytes), 0);
  }

  #open(): number {
    return (this.#fd ??= openSync(this.#path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

function decode(value: unknown): SpoolPosition | undefined {
  if (!isObject(value) || !isObject(value["head"])) return undefined;
  const { inode, offset } = value;
  const { bytes, hash } = value["head"];
  if (typeof inode !== "number" || typeof offset !== "number" || typeof bytes !== "number" || typeof hash !== "string")
    return undefined;
  return { inode, offset, head: { bytes, hash } };
}
