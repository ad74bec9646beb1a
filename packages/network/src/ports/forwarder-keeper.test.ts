import { expect, test } from "bun:test";
import { createLogger, silentLogger, type Clock } from "@fathom/base";
import { firstPauseMs, ForwarderKeeper, longestPauseMs, steadyMs, type ReopenedPorts } from "./forwarder-keeper.ts";
import type { Forwarders } from "./forwarders.ts";

/** Sleeps end at once and are recorded. */
class QuickClock implements Clock {
  readonly sleeps: number[] = [];
  now = 0;
  nowNs = (): bigint => BigInt(this.now) * 1_000_000n;
  monotonicMs = (): number => this.now;
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.sleeps.push(ms);
    this.now += ms;
  }
}

class World {
  readonly clock = new QuickClock();
  readonly starts: number[] = [];
  open = 0;
  refused: string[] = [];
  /** What happens to the run with this number, from 0: how long it lives, an error when it cannot be watched, undefined when it never ends. */
  run: (number: number) => number | Error | undefined = () => undefined;
  #running = true;
  #looks = 0;
  readonly #settled = Promise.withResolvers<void>();

  readonly forwarders: Forwarders = {
    start: (_, listeners) => {
      this.starts.push(listeners.length);
      this.#running = true;
    },
    runs: () => this.#running,
    ended: async (_, signal) => {
      if (!this.#running) return;
      const life = this.run(this.#looks++);
      if (life instanceof Error) throw life;
      if (life === undefined) {
        this.#settled.resolve();
        await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      }
      this.clock.now += life ?? 0;
      this.#running = false;
    },
    end: async () => undefined,
    list: () => [],
  };

  /** Resolves when one keeps running. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  reopen = (): ReopenedPorts => {
    this.open++;
    const listeners =
      this.refused.length === 0 ? [{ protocol: "tcp" as const, fd: 9, target: { address: "a", port: 1 } }] : [];
    return { listeners, refused: this.refused, [Symbol.dispose]: () => void this.open-- };
  };
}

test("the pauses grow to their limit while it keeps ending, and start again after a long life", async () => {
  const world = new World();
  const keeper = new ForwarderKeeper(world.forwarders, world.clock, silentLogger);
  world.run = (number) => (number < 14 ? 5 : number === 14 ? steadyMs + 1 : undefined);
  keeper.keep("e", "c", world.reopen);
  await world.settled;
  const growing = Array.from({ length: 14 }, (_, index) => Math.min(firstPauseMs * 2 ** index, longestPauseMs));
  expect(world.clock.sleeps).toEqual([...growing, firstPauseMs]);
  expect([world.starts.length, world.open]).toEqual([15, 0]);
  keeper.letAllGo();
});

test("a forwarder that cannot be watched, or whose ports another program has, is tried again with pauses, with one warning", async () => {
  const world = new World();
  const lines: string[] = [];
  const logger = createLogger("warn", { write: (line) => void lines.push(line) });
  const keeper = new ForwarderKeeper(world.forwarders, world.clock, logger);
  world.run = (number) => (number < 3 ? new Error("too many open files") : number === 3 ? 5 : undefined);
  world.refused = ["host port 80 could not be taken again"];
  const reopen = (): ReopenedPorts => {
    if (world.clock.sleeps.length > 6) world.refused = [];
    return world.reopen();
  };
  keeper.keep("e", "c", reopen);
  await world.settled;
  expect(world.clock.sleeps).toEqual([1, 2, 4, 8, 16, 32, 64].map((factor) => factor * firstPauseMs));
  expect([world.starts, world.open]).toEqual([[1], 0]);
  for (const [what, times] of [
    ["too many open files", 1],
    ["could not be taken again", 1],
    ["is started again", 1],
  ] as const)
    expect({ what, times: lines.filter((line) => line.includes(what)).length }).toEqual({ what, times });
  keeper.letAllGo();
});

test("a released one is not started again", async () => {
  const world = new World();
  const keeper = new ForwarderKeeper(world.forwarders, world.clock, silentLogger);
  world.run = () => 5;
  keeper.keep("e", "c", world.reopen);
  keeper.letGo("e");
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(world.starts).toEqual([]);
});
