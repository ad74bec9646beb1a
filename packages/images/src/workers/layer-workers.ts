/**
 * The pool of image workers. A worker runs several jobs at the same time (mostly they wait for the network); a new job goes to the worker with
 * the fewest. A worker without work is ended after a while, because it uses memory.
 */
import { EngineError, type Logger, within } from "@fathom/base";
import { workerSource } from "@fathom/sys";
import type { LayerJobReport } from "./layer-job.ts";
import {
  errorOf,
  type FromWorker,
  type ToWorker,
  type WorkerJob,
  type WorkerJobKind,
  type WorkerJobs,
  type WorkerResult,
} from "./worker-protocol.ts";

/** Listed in apps/fathom/workers.txt. */
const imageWorkerPath = "packages/images/src/workers/image-worker.ts";

export interface LayerWorkersOptions {
  /** 2 to 4 are useful: a layer is unpacked on one core. */
  readonly count: number;
  readonly logger: Logger;
  /** Milliseconds without a job before a worker ends. */
  readonly idleMs?: number;
  /** After this time, a cancelled job that has not ended is ended together with its worker. */
  readonly cancelGraceMs?: number;
  /** The same when the pool ends. */
  readonly endGraceMs?: number;
  readonly start?: () => Worker;
}

interface PendingJob {
  readonly report: (report: LayerJobReport) => void;
  readonly resolve: (result: WorkerResult) => void;
  readonly reject: (error: unknown) => void;
  readonly settled: Promise<unknown>;
}

class PoolWorker {
  readonly jobs = new Map<number, PendingJob>();
  readonly worker: Worker;
  idleTimer: ReturnType<typeof setTimeout> | undefined;
  constructor(worker: Worker) {
    this.worker = worker;
  }
}

export class LayerWorkers implements AsyncDisposable {
  readonly #options: LayerWorkersOptions;
  readonly #workers = new Set<PoolWorker>();
  readonly #ended = new AbortController();
  #nextId = 1;

  constructor(options: LayerWorkersOptions) {
    this.#options = options;
  }

  /** Threads that exist now. */
  get size(): number {
    return this.#workers.size;
  }

  /**
   * Runs a job in a worker.
   * @throws the error of the job; aborted when `signal` aborts, unavailable when this pool ends, both after the job has released its files
   */
  async run<K extends WorkerJobKind>(
    kind: K,
    job: WorkerJobs[K]["job"],
    signal: AbortSignal,
    report: (report: LayerJobReport) => void = () => undefined,
  ): Promise<WorkerJobs[K]["result"]> {
    // Each kind of job is answered with its own kind of result: pull-worker.ts.
    return this.#run({ kind, job } as WorkerJob, report, AbortSignal.any([signal, this.#ended.signal]));
  }

  async #run(work: WorkerJob, report: (report: LayerJobReport) => void, signal: AbortSignal): Promise<WorkerResult> {
    if (signal.aborted) throw this.#cancelled();
    const worker = this.#choose();
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<WorkerResult>();
    worker.jobs.set(id, { report, resolve, reject, settled: promise.catch(() => undefined) });
    clearTimeout(worker.idleTimer);
    let grace: ReturnType<typeof setTimeout> | undefined;
    const cancel = (): void => {
      send(worker, { kind: "cancel", id });
      grace = setTimeout(
        () => this.#end(worker, "a cancelled layer did not stop"),
        this.#options.cancelGraceMs ?? 10_000,
      );
    };
    signal.addEventListener("abort", cancel, { once: true });
    send(worker, { kind: "start", id, work });
    try {
      return await promise;
    } catch (error) {
      throw signal.aborted ? this.#cancelled(error) : error;
    } finally {
      clearTimeout(grace);
      signal.removeEventListener("abort", cancel);
      worker.jobs.delete(id);
      if (worker.jobs.size === 0) this.#rest(worker);
    }
  }

  #cancelled(cause?: unknown): EngineError {
    return this.#ended.signal.aborted
      ? new EngineError("unavailable", "the daemon is shutting down", { cause })
      : new EngineError("aborted", "the layer was cancelled", { cause });
  }

  #choose(): PoolWorker {
    const [idlest] = [...this.#workers].sort((a, b) => a.jobs.size - b.jobs.size);
    if (idlest !== undefined && (idlest.jobs.size === 0 || this.#workers.size >= this.#options.count)) return idlest;
    const start = this.#options.start ?? (() => new Worker(workerSource(imageWorkerPath), { smol: true }));
    const worker = new PoolWorker(start());
    this.#workers.add(worker);
    worker.worker.onmessage = (event: MessageEvent<FromWorker>) => {
      const message = event.data;
      const pending = worker.jobs.get(message.id);
      if (message.kind === "report") pending?.report(message.report);
      else if (message.kind === "done") pending?.resolve(message.result);
      else pending?.reject(errorOf(message));
    };
    worker.worker.onerror = (event) => this.#end(worker, event.message);
    worker.worker.addEventListener("close", () => this.#end(worker, "it ended"));
    return worker;
  }

  #rest(worker: PoolWorker): void {
    if (!this.#workers.has(worker)) return;
    worker.idleTimer = setTimeout(() => this.#end(worker, undefined), this.#options.idleMs ?? 2_000);
    worker.idleTimer.unref();
  }

  /** Removes a worker from the pool; its jobs fail. */
  #end(worker: PoolWorker, reason: string | undefined): void {
    if (!this.#workers.delete(worker)) return;
    clearTimeout(worker.idleTimer);
    if (reason !== undefined) this.#options.logger.error("image worker failed", { reason, jobs: worker.jobs.size });
    for (const pending of worker.jobs.values())
      pending.reject(
        new EngineError("internal", `the thread that unpacked the layer failed: ${reason ?? "it was ended"}`),
      );
    worker.worker.terminate();
  }

  /** Jobs are cancelled and release their files; then the threads end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    const jobs = [...this.#workers].flatMap((worker) => [...worker.jobs.values()].map(({ settled }) => settled));
    await within(Promise.all(jobs), this.#options.endGraceMs ?? 2_000, () => undefined);
    for (const worker of this.#workers) this.#end(worker, undefined);
  }
}

function send(worker: PoolWorker, message: ToWorker): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  worker.worker.postMessage(message);
}
