/**
 * One file or tree whose file system may never answer, in a process of fathom-init (`call read-tree`, `call write-tree`). The process is given
 * up when it sends nothing for as long as a server may take, or when nobody wants the rest any more. It ends when its call ends. So processes
 * that were given up are counted, and only a limited number may wait for one thing at a time.
 */
import { EngineError, isEngineError } from "@fathom/base";
import { errnoNumber, SysError } from "../errors.ts";
import { wayOut } from "./one-calls.ts";
import { frameHeadBytes } from "./tree-frames.ts";

export interface TreePath {
  /** A path of the host, or a path relative to `base`. */
  readonly root: string;
  /** A descriptor of a directory; the caller still owns it. */
  readonly base?: number;
  /** Inside the root: no symlink leads out of it. */
  readonly path: string;
  /** The name in errors: "/x in container y". */
  readonly what: string;
  /** Processes with the same key share a limit: only this many may wait for an answer that nobody wants any more. */
  readonly key: string;
  /** When it aborts, the work ends at once. */
  readonly signal?: AbortSignal;
}

export interface TreeProcessOptions {
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

/** How many processes that were given up still wait, by key. */
export class GivenUp {
  readonly #waiting = new Map<string, number>();

  /** @throws EngineError `timeout` when too many wait */
  check({ key, what }: TreePath): void {
    if ((this.#waiting.get(key) ?? 0) >= mostGivenUp)
      throw new EngineError("timeout", `${what} does not answer: ${mostGivenUp} calls wait for it already. ${wayOut}`);
  }

  add(key: string, ended: Promise<unknown>): void {
    this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + 1);
    void ended.finally(() => {
      const left = this.#waiting.get(key)! - 1;
      if (left > 0) this.#waiting.set(key, left);
      else this.#waiting.delete(key);
    });
  }
}

type Child = Bun.Subprocess<"pipe", "pipe", "ignore">;

export interface TreeCall extends TreePath {
  readonly call: "read-tree" | "write-tree";
  /** The call's third argument. */
  readonly option: number;
}

export class TreeProcess {
  readonly #child: Child;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  readonly #options: TreeProcessOptions;
  readonly #call: TreeCall;
  readonly #waiting: GivenUp;
  readonly #stopped = Promise.withResolvers<never>();
  readonly #onAbort = (): void => void this.stop(this.#endOf(this.#call.signal?.reason));
  #unread: Buffer = Buffer.alloc(0);
  #error: Error | undefined;
  #over = false;

  /** @throws EngineError invalid-argument for a zero byte, `timeout` when too many wait already; SysError ENAMETOOLONG */
  constructor(call: TreeCall, options: TreeProcessOptions, waiting: GivenUp) {
    const { base, root, path, option, signal } = call;
    for (const value of [root, path]) {
      if (value.includes("\0"))
        throw new EngineError("invalid-argument", `invalid path ${JSON.stringify(value)}: it has a zero byte`);
      if (Buffer.byteLength(value) >= pathBytes) throw new SysError("openat2", errnoNumber("ENAMETOOLONG"), value);
    }
    waiting.check(call);
    this.#call = call;
    this.#options = options;
    this.#waiting = waiting;
    this.#child = Bun.spawn([`/proc/${process.pid}/fd/${options.executable()}`, "call", call.call], {
      argv0: "fathom-init",
      cwd: "/",
      env: {},
      stdio: ["pipe", "pipe", "ignore", ...(base === undefined ? [] : [base])],
    }) as Child;
    // A process that was given up must not block the end of the daemon.
    this.#child.unref();
    this.#reader = this.#child.stdout.getReader() as ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
    this.#stopped.promise.catch(() => undefined);
    this.tell([root, path, String(option)].map((value) => `${value}\0`).join(""));
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (signal?.aborted === true) this.#onAbort();
  }

  tell(bytes: string | Uint8Array): void {
    try {
      void this.#child.stdin.write(bytes);
      void this.#child.stdin.flush();
    } catch {
      // It has ended: its last message says why.
    }
  }

  async frame(): Promise<readonly [kind: number, length: number]> {
    const head = await this.bytes(frameHeadBytes);
    return [head.readUInt32LE(4), head.readUInt32LE(0)];
  }

  async bytes(count: number): Promise<Buffer> {
    while (this.#unread.length < count) await this.#more();
    const bytes = this.#unread.subarray(0, count);
    this.#unread = this.#unread.subarray(count);
    return bytes;
  }

  /** Bytes as they come, `count` in all. */
  async *parts(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0;) {
      if (this.#unread.length === 0) await this.#more();
      const part = this.#unread.subarray(0, left);
      this.#unread = this.#unread.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  /** "read of" or "written to" */
  get #done(): string {
    return this.#call.call === "read-tree" ? "read of" : "written to";
  }

  async #more(): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    const { answerMs } = this.#options;
    const timer = setTimeout(
      () =>
        this.stop(
          new EngineError(
            "timeout",
            `${this.#call.what} does not answer: nothing could be ${this.#done} it for ${answerMs / 1000} s. ${wayOut}`,
          ),
        ),
      answerMs,
    );
    try {
      const { done, value } = await Promise.race([this.#reader.read(), this.#stopped.promise]);
      if (done) throw this.stop(this.#broken());
      this.#unread = this.#unread.length === 0 ? asBuffer(value) : Buffer.concat([this.#unread, value]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The errno, the call, a zero byte, and the path. */
  failure(bytes: Buffer): Error {
    const { what } = this.#call;
    const end = bytes.indexOf(0, 4);
    const where = bytes.toString("utf8", end + 1);
    const subject = where === "" ? what : `${where} in ${what}`;
    return this.stop(new SysError(bytes.toString("utf8", 4, end), bytes.readInt32LE(0), subject));
  }

  /** Somebody's own error ("the container is being removed"), or the client has closed its connection. */
  #endOf(reason: unknown): EngineError {
    return isEngineError(reason) ? reason : new EngineError("aborted", "the client went away");
  }

  #broken(): EngineError {
    return new EngineError(
      "internal",
      `the process of ${this.#call.what} (${this.#call.call}) ended without an answer`,
    );
  }

  /** Returns the error that counts: the first one. */
  stop(error: Error): Error {
    if (this.#over) return this.#error ?? error;
    this.#error = error;
    const { exited } = this.#child;
    this.#child.kill("SIGKILL");
    // If a server has its request already, it ends only with the answer.
    const timer = setTimeout(() => this.#waiting.add(this.#call.key, exited), endMs);
    timer.unref();
    void exited.finally(() => clearTimeout(timer));
    this.end();
    this.#stopped.reject(error);
    return error;
  }

  end(): void {
    this.#over = true;
    this.#call.signal?.removeEventListener("abort", this.#onAbort);
    void this.#reader.cancel().catch(() => undefined);
    void Promise.resolve(this.#child.stdin.end()).catch(() => undefined);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
