import { expect, test } from "bun:test";
import { parseDiffId, sha256Digest } from "@fathom/spec";
import type { UnpackedLayer } from "@fathom/store";
import { silentLogger } from "@fathom/base";
import { LayerWorkers, type LayerWorkersOptions } from "./layer-workers.ts";
import type { FromWorker, ToWorker } from "./worker-protocol.ts";
import { until } from "@fathom/base/testing";

/** A thread that answers when the test says so, or releases its jobs when they are cancelled. */
class FakeThread extends EventTarget {
  readonly heard: ToWorker[] = [];
  readonly obeys: boolean;
  terminated = false;
  onmessage: ((event: { data: FromWorker }) => void) | null = null;
  constructor(obeys: boolean) {
    super();
    this.obeys = obeys;
  }
  postMessage(message: ToWorker): void {
    this.heard.push(message);
    if (message.kind === "cancel" && this.obeys)
      this.say({ kind: "failed", id: message.id, code: "aborted", message: "cancelled" });
  }
  say(data: FromWorker): void {
    queueMicrotask(() => this.onmessage?.({ data }));
  }
  terminate(): void {
    this.terminated = true;
  }
}

function pool(options: Partial<LayerWorkersOptions> & { readonly obeys?: boolean } = {}) {
  const threads: FakeThread[] = [];
  const start = (): Worker => {
    const thread = new FakeThread(options.obeys ?? true);
    threads.push(thread);
    return thread as unknown as Worker;
  };
  return { threads, workers: new LayerWorkers({ count: 2, logger: silentLogger, start, ...options }) };
}

const job = { diffPath: "/diff", lowerPaths: [], targetPath: "/target", file: "/file" };
const { signal } = new AbortController();
const copied = (size: number): UnpackedLayer => ({
  diffId: parseDiffId(sha256Digest("")),
  size,
  entries: 1,
  implied: [],
});

test("jobs are distributed over the threads, and each gets its own result", async () => {
  const { threads, workers } = pool();
  const results = [1, 2, 3].map(() => workers.run("copy", job, signal));
  expect(threads.map(({ heard }) => heard.length)).toEqual([2, 1]);
  for (const thread of threads) for (const { id } of thread.heard) thread.say({ kind: "done", id, result: copied(id) });
  expect((await Promise.all(results)).map(({ size }) => size).sort()).toEqual([1, 2, 3]);
  await workers[Symbol.asyncDispose]();
});

test("a thread without work ends", async () => {
  const { threads, workers } = pool({ idleMs: 1 });
  const result = workers.run("copy", job, signal);
  threads[0]!.say({ kind: "done", id: 1, result: copied(1) });
  await result;
  expect(workers.size).toBe(1);
  await until("the idle worker is gone", () => workers.size === 0);
  expect(threads[0]!.terminated).toBe(true);
});

test("the pool's end cancels its jobs, says why, and waits until they have ended", async () => {
  const { threads, workers } = pool();
  const running = workers.run("copy", job, signal).catch((error: unknown) => error);
  await workers[Symbol.asyncDispose]();
  expect(threads[0]!.heard.map(({ kind }) => kind)).toEqual(["start", "cancel"]);
  expect(threads[0]!.terminated).toBe(true);
  expect(await running).toMatchObject({ code: "unavailable", message: "the daemon is shutting down" });
  await expect(workers.run("copy", job, signal)).rejects.toThrow("the daemon is shutting down");
  expect(threads.length).toBe(1);
});

test("a job that does not end is ended with its thread", async () => {
  const { threads, workers } = pool({ obeys: false, endGraceMs: 1 });
  const running = workers.run("copy", job, signal).catch((error: unknown) => error);
  await workers[Symbol.asyncDispose]();
  expect(threads[0]!.terminated).toBe(true);
  expect(await running).toMatchObject({ code: "unavailable" });
});
