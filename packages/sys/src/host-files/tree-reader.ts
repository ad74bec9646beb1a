/**
 * Reads files and trees whose file system may never answer: below a container's root, or in a volume. As for `HostFiles`, each has a process of
 * fathom-init (native/init/calls/read-tree.c). The process is given up when it sends nothing for as long as a server may take, or when nobody wants
 * the rest any more. It ends when its call ends. So processes that were given up are counted, and only a limited number may wait for one thing
 * at a time.
 */
import { EngineError } from "@fathom/base";
import { S_IFMT, S_IFREG } from "../constants.ts";
import { errnoNumber, SysError } from "../errors.ts";
import { wayOut } from "./one-calls.ts";
import { frameHeadBytes, frames, parseEntry, treeWants, type ReadEntry } from "./tree-frames.ts";

export interface TreeRequest {
  /** A path of the host, or a path relative to `base`. */
  readonly root: string;
  /** A descriptor of a directory; the caller still owns it. */
  readonly base?: number;
  /** Inside the root: no symlink leads out of it. */
  readonly path: string;
  readonly wants: keyof typeof treeWants;
  /** The name in errors: "/x in container y". */
  readonly what: string;
  /** Readings with the same key share a limit: only this many may wait for an answer that nobody wants any more. */
  readonly key: string;
  /** When it aborts, the reading ends at once. */
  readonly signal?: AbortSignal;
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

export interface TreeReaderOptions {
  /** fathom-init as a descriptor. */
  readonly executable: () => number;
  readonly answerMs: number;
}

/** This many that were given up may wait for one thing; then it counts as not answering. */
const mostGivenUp = 4;
/** A process that waits for nothing has ended by then. */
const endMs = 1_000;
/** PATH_MAX, with the zero byte. */
const pathBytes = 4096;

/** @throws EngineError invalid-argument for a zero byte, `timeout` when too many wait already; SysError ENAMETOOLONG */
export function createTreeReader(options: TreeReaderOptions): ReadTree {
  const givenUp = new Map<string, number>();
  return (request) => {
    const { key, path, root, what } = request;
    for (const value of [root, path]) {
      if (value.includes("\0"))
        throw new EngineError("invalid-argument", `invalid path ${JSON.stringify(value)}: it has a zero byte`);
      if (Buffer.byteLength(value) >= pathBytes) throw new SysError("openat2", errnoNumber("ENAMETOOLONG"), value);
    }
    if ((givenUp.get(key) ?? 0) >= mostGivenUp)
      throw new EngineError("timeout", `${what} does not answer: ${mostGivenUp} calls wait for it already. ${wayOut}`);
    return new Reading(request, options, (ended) => {
      givenUp.set(key, (givenUp.get(key) ?? 0) + 1);
      void ended.finally(() => {
        const left = givenUp.get(key)! - 1;
        if (left > 0) givenUp.set(key, left);
        else givenUp.delete(key);
      });
    });
  };
}

type Child = Bun.Subprocess<"pipe", "pipe", "ignore">;

class Reading implements TreeReading {
  readonly #child: Child;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  readonly #options: TreeReaderOptions;
  readonly #request: TreeRequest;
  readonly #onGivenUp: (ended: Promise<unknown>) => void;
  readonly #stopped = Promise.withResolvers<never>();
  readonly #onAbort = (): void => void this.#stop(new EngineError("aborted", "the client went away"));
  #unread: Buffer = Buffer.alloc(0);
  #error: Error | undefined;
  #over = false;
  /** The file's content has not been read to its end. */
  #inContent = false;
  /** It comes when it is requested, or not at all. */
  #unasked = false;

  constructor(request: TreeRequest, options: TreeReaderOptions, onGivenUp: (ended: Promise<unknown>) => void) {
    const { base, root, path, wants, signal } = request;
    this.#request = request;
    this.#options = options;
    this.#onGivenUp = onGivenUp;
    this.#child = Bun.spawn([`/proc/${process.pid}/fd/${options.executable()}`, "call", "read-tree"], {
      argv0: "fathom-init",
      cwd: "/",
      env: {},
      stdio: ["pipe", "pipe", "ignore", ...(base === undefined ? [] : [base])],
    }) as Child;
    // A process that was given up must not block the end of the daemon.
    this.#child.unref();
    this.#reader = this.#child.stdout.getReader() as ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
    this.#stopped.promise.catch(() => undefined);
    this.#tell([root, path, String(treeWants[wants])].map((value) => `${value}\0`).join(""));
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (signal?.aborted === true) this.#onAbort();
  }

  async next(): Promise<ReadEntry | undefined> {
    if (this.#unasked) this.#answer(false);
    // eslint-disable-next-line no-empty -- what nobody read of the file before
    for await (const _ of this.content());
    const xattrs: { name: string; value: Uint8Array }[] = [];
    for (;;) {
      const [kind, length] = await this.#frame();
      const bytes = await this.#bytes(length);
      switch (kind) {
        case frames.xattr: {
          const end = bytes.indexOf(0);
          xattrs.push({ name: bytes.toString("utf8", 0, end), value: bytes.subarray(end + 1) });
          break;
        }
        case frames.entry: {
          const entry = parseEntry(bytes, xattrs);
          const wanted = (treeWants[this.#request.wants] & treeWants.file & treeWants.tree) !== 0;
          this.#inContent = wanted && !entry.foreign && (entry.mode & S_IFMT) === S_IFREG;
          this.#unasked = this.#inContent && entry.nlink > 1;
          return entry;
        }
        case frames.end:
          this.#end();
          return undefined;
        case frames.error:
          throw this.#failure(bytes);
      }
    }
  }

  async *content(): AsyncGenerator<Uint8Array> {
    if (this.#unasked) this.#answer(true);
    while (this.#inContent) {
      const [kind, length] = await this.#frame();
      if (kind === frames.contentEnd) this.#inContent = false;
      else if (kind === frames.error) throw this.#failure(await this.#bytes(length));
      for (let left = length; kind === frames.data && left > 0;) {
        if (this.#unread.length === 0) await this.#more();
        const part = this.#unread.subarray(0, left);
        this.#unread = this.#unread.subarray(part.length);
        left -= part.length;
        yield part;
      }
    }
  }

  [Symbol.dispose](): void {
    this.#stop(new EngineError("aborted", "the reading was ended"));
  }

  #answer(wanted: boolean): void {
    this.#unasked = false;
    this.#inContent = wanted;
    this.#tell(wanted ? "y" : "n");
  }

  #tell(text: string): void {
    try {
      void this.#child.stdin.write(text);
      void this.#child.stdin.flush();
    } catch {
      // It has ended: its last message says why.
    }
  }

  async #frame(): Promise<readonly [kind: number, length: number]> {
    const head = await this.#bytes(frameHeadBytes);
    return [head.readUInt32LE(4), head.readUInt32LE(0)];
  }

  async #bytes(count: number): Promise<Buffer> {
    while (this.#unread.length < count) await this.#more();
    const bytes = this.#unread.subarray(0, count);
    this.#unread = this.#unread.subarray(count);
    return bytes;
  }

  async #more(): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    const { answerMs } = this.#options;
    const timer = setTimeout(
      () =>
        this.#stop(
          new EngineError(
            "timeout",
            `${this.#request.what} does not answer: nothing could be read of it for ${answerMs / 1000} s. ${wayOut}`,
          ),
        ),
      answerMs,
    );
    try {
      const { done, value } = await Promise.race([this.#reader.read(), this.#stopped.promise]);
      if (done) throw this.#stop(this.#broken());
      this.#unread = this.#unread.length === 0 ? asBuffer(value) : Buffer.concat([this.#unread, value]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The errno, the call, a zero byte, and the path. */
  #failure(bytes: Buffer): Error {
    const { what } = this.#request;
    const end = bytes.indexOf(0, 4);
    const where = bytes.toString("utf8", end + 1);
    const subject = where === "" ? what : `${where} in ${what}`;
    return this.#stop(new SysError(bytes.toString("utf8", 4, end), bytes.readInt32LE(0), subject));
  }

  #broken(): EngineError {
    return new EngineError("internal", `the process that should read ${this.#request.what} ended without an answer`);
  }

  /** Returns the error that counts: the first one. */
  #stop(error: Error): Error {
    if (this.#over) return this.#error ?? error;
    this.#error = error;
    const { exited } = this.#child;
    this.#child.kill("SIGKILL");
    // If a server has its request already, it ends only with the answer.
    const timer = setTimeout(() => this.#onGivenUp(exited), endMs);
    timer.unref();
    void exited.finally(() => clearTimeout(timer));
    this.#end();
    this.#stopped.reject(error);
    return error;
  }

  #end(): void {
    this.#over = true;
    this.#request.signal?.removeEventListener("abort", this.#onAbort);
    void this.#reader.cancel().catch(() => undefined);
    void Promise.resolve(this.#child.stdin.end()).catch(() => undefined);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
