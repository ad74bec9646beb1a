/**
 * Reads files and trees whose file system may never answer: below a container's root, or in a volume. The process of a reading is that of
 * native/init/calls/read-tree.c.
 */
import { EngineError } from "@fathom/base";
import { S_IFMT, S_IFREG } from "../constants.ts";
import { frames, parseEntry, treeWants, type ReadEntry } from "./tree-frames.ts";
import { GivenUp, TreeProcess, type TreePath, type TreeProcessOptions } from "./tree-process.ts";

export interface TreeRequest extends TreePath {
  readonly wants: keyof typeof treeWants;
}

/** Disposing ends it. All methods throw SysError; EngineError `timeout` when there was no answer, `aborted` after the signal. */
export interface TreeReading extends Disposable {
  /** The next entry, a directory before its content, names in byte order; undefined after the last. */
  next(): Promise<ReadEntry | undefined>;
  /**
   * Content of the entry that `next` returned last, when it is a regular file. Never more than its size; less when the file has become shorter
   * meanwhile.
   */
  content(): AsyncGenerator<Uint8Array>;
}

export type ReadTree = (request: TreeRequest) => TreeReading;

/** @throws EngineError invalid-argument for a zero byte, `timeout` when too many wait already; SysError ENAMETOOLONG */
export function createTreeReader(options: TreeProcessOptions, waiting: GivenUp = new GivenUp()): ReadTree {
  return (request) => new Reading(request, options, waiting);
}

class Reading implements TreeReading {
  readonly #process: TreeProcess;
  readonly #wants: number;
  /** The file's content has not been read to its end. */
  #inContent = false;
  /** It comes when it is requested, or not at all. */
  #unasked = false;

  constructor(request: TreeRequest, options: TreeProcessOptions, waiting: GivenUp) {
    this.#wants = treeWants[request.wants];
    this.#process = new TreeProcess({ ...request, call: "read-tree", option: this.#wants }, options, waiting);
  }

  async next(): Promise<ReadEntry | undefined> {
    if (this.#unasked) this.#answer(false);
    // eslint-disable-next-line no-empty -- what nobody read of the file before
    for await (const _ of this.content());
    const xattrs: { name: string; value: Uint8Array }[] = [];
    for (;;) {
      const [kind, length] = await this.#process.frame();
      const bytes = await this.#process.bytes(length);
      switch (kind) {
        case frames.xattr: {
          const end = bytes.indexOf(0);
          xattrs.push({ name: bytes.toString("utf8", 0, end), value: bytes.subarray(end + 1) });
          break;
        }
        case frames.entry: {
          const entry = parseEntry(bytes, xattrs);
          const wanted = (this.#wants & treeWants.file & treeWants.tree) !== 0;
          this.#inContent = wanted && !entry.foreign && (entry.mode & S_IFMT) === S_IFREG;
          this.#unasked = this.#inContent && entry.nlink > 1;
          return entry;
        }
        case frames.end:
          this.#process.end();
          return undefined;
        case frames.error:
          throw this.#process.failure(bytes);
      }
    }
  }

  async *content(): AsyncGenerator<Uint8Array> {
    if (this.#unasked) this.#answer(true);
    while (this.#inContent) {
      const [kind, length] = await this.#process.frame();
      if (kind === frames.contentEnd) this.#inContent = false;
      else if (kind === frames.error) throw this.#process.failure(await this.#process.bytes(length));
      else if (kind === frames.data) yield* this.#process.parts(length);
    }
  }

  [Symbol.dispose](): void {
    this.#process.stop(new EngineError("aborted", "the reading was ended"));
  }

  #answer(wanted: boolean): void {
    this.#unasked = false;
    this.#inContent = wanted;
    this.#process.tell(wanted ? "y" : "n");
  }
}
