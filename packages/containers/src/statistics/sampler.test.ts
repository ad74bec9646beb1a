import { expect, test } from "bun:test";
import type { Clock } from "@fathom/base";
import { until } from "@fathom/base/testing";
import { noStats } from "@fathom/runtime/testing";
import type { Container } from "../container.ts";
import type { Look } from "./sample.ts";
import { Sampler } from "./sampler.ts";

/** A second passes when the test says so. */
class Seconds implements Clock {
  ms = 0;
  readonly #sleepers = new Set<{ until: number; wake: () => void }>();

  nowNs(): bigint {
    return BigInt(this.ms) * 1_000_000n;
  }

  monotonicMs(): number {
    return this.ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms === 0) return Promise.resolve();
    return new Promise((wake, reject) => {
      const sleeper = { until: this.ms + ms, wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      });
    });
  }

  get sleeping(): number {
    return this.#sleepers.size;
  }

  async pass(ms: number): Promise<void> {
    await until("somebody sleeps", () => this.sleeping > 0);
    this.ms += ms;
    for (const sleeper of this.#sleepers)
      if (sleeper.until <= this.ms) {
        this.#sleepers.delete(sleeper);
        sleeper.wake();
      }
  }
}

function world() {
  const clock = new Seconds();
  const looks: Container[] = [];
  const existing = new Set<Container>();
  const state = { broken: undefined as Error | undefined };
  const container = (): Container => {
    // The sampler uses a container only as a key.
    const made = Object.create(null) as Container;
    existing.add(made);
    return made;
  };
  const sampler = new Sampler({
    clock,
    exists: (asked) => existing.has(asked),
    hostProcessors: () => {
      if (state.broken !== undefined) throw state.broken;
      return { totalNs: 0, online: 1 };
    },
    look: (asked, host) => {
      looks.push(asked);
      return { readAt: String(clock.ms), cgroup: noStats, host, interfaces: {} };
    },
  });
  return { clock, looks, existing, state, container, sampler };
}

function reader(source: AsyncIterable<Look>): () => Promise<string | undefined> {
  const iterator = source[Symbol.asyncIterator]();
  return async () => {
    const { done, value } = await iterator.next();
    return done === true ? "end" : value?.readAt;
  };
}

test("two clients of one container share its samples, one each second", async () => {
  const { clock, looks, container, sampler } = world();
  const client = new AbortController();
  const box = container();
  const [first, second] = [reader(sampler.watch(box, client.signal)), reader(sampler.watch(box, client.signal))];
  expect([await first(), await second()]).toEqual(["0", "0"]);
  const next = [first(), second()];
  await clock.pass(1000);
  expect(await Promise.all(next)).toEqual(["1000", "1000"]);
  expect(looks).toEqual([box, box]);
  client.abort();
  expect([await first(), await second()]).toEqual(["end", "end"]);
  expect([sampler.size, clock.sleeping]).toEqual([0, 0]);
});

test("a container that joins shortly before the second is sampled with the next one", async () => {
  const { clock, container, sampler } = world();
  const client = new AbortController();
  const old = reader(sampler.watch(container(), client.signal));
  await old();
  const wait = old();
  clock.ms = 900;
  const young = reader(sampler.watch(container(), client.signal));
  expect(await young()).toBe("900");
  const later = young();
  await clock.pass(100);
  expect(await wait).toBe("1000");
  await clock.pass(1000);
  expect(await later).toBe("2000");
  client.abort();
});

test("a client that reads late gets one sample, and none is kept for it", async () => {
  const { clock, looks, container, sampler } = world();
  const client = new AbortController();
  const read = reader(sampler.watch(container(), client.signal));
  await read();
  for (let second = 1; second <= 3; second++) {
    await clock.pass(1000);
    await until("the sample is taken", () => looks.length === second + 1);
  }
  expect(await read()).toBe("1000");
  const next = read();
  await clock.pass(1000);
  expect(await next).toBe("4000");
  client.abort();
});

test("the stream ends when the container is removed, and fails when samples cannot be read", async () => {
  const { clock, existing, state, container, sampler } = world();
  const [removed, kept] = [container(), container()];
  const signal = new AbortController().signal;
  const [first, second] = [reader(sampler.watch(removed, signal)), reader(sampler.watch(kept, signal))];
  await Promise.all([first(), second()]);
  existing.delete(removed);
  const [end, next] = [first(), second()];
  await clock.pass(1000);
  expect([await end, await next]).toEqual(["end", "1000"]);
  state.broken = new Error("too many open files");
  const failing = second();
  await clock.pass(1000);
  await expect(failing).rejects.toThrow("too many open files");
  expect([sampler.size, clock.sleeping]).toEqual([0, 0]);
});
