import { expect, test } from "bun:test";
import { IdleMemory, quietMs } from "./idle-memory.ts";

interface Watched {
  readonly memory: IdleMemory;
  /** What was released, each with its time in seconds. */
  readonly done: string[];
  /** Timers that have started and have neither fired nor been cancelled. */
  readonly waiting: () => number;
  advance(ms: number): void;
  /** The memory that requests use on the heap and then no longer need. */
  allocate(bytes: number): void;
  /** The memory that requests use on the heap and keep. */
  keep(bytes: number): void;
}

function watched(): Watched {
  const done: string[] = [];
  let now = 0;
  let timers: { at: number; action: () => void }[] = [];
  let live = 10 << 20;
  let heap = live;
  const say = (what: string): void => void done.push(`${what} ${now / 1000}`);
  const memory = new IdleMemory({
    collectGarbage(atOnce) {
      say(atOnce ? "garbage" : "garbage in the background");
      heap = live;
    },
    heapBytes: () => heap,
    sys: { releaseFilePages: (afterMs) => say(afterMs > 0 ? "pages" : "pages before the thread sleeps") },
    now: () => now,
    schedule(action, ms) {
      const entry = { at: now + ms, action };
      timers.push(entry);
      return () => void (timers = timers.filter((one) => one !== entry));
    },
  });
  return {
    memory,
    done,
    waiting: () => timers.length,
    allocate: (bytes) => void (heap += bytes),
    keep(bytes) {
      live += bytes;
      heap += bytes;
    },
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const next = timers.toSorted((a, b) => a.at - b.at)[0];
        if (next === undefined || next.at > end) break;
        timers = timers.filter((one) => one !== next);
        now = next.at;
        next.action();
      }
      now = end;
    },
  };
}

test("memory is released when it has been quiet, not while there is work, and again in the next quiet time", () => {
  const { memory, done, waiting, advance } = watched();
  for (let count = 0; count < 10; count++) {
    memory.touch();
    advance(quietMs - 1);
    expect(waiting()).toBe(1);
  }
  expect(done).toEqual([]);
  memory.touch();
  advance(quietMs);
  expect(done).toEqual(["garbage 32.99", "pages 32.99"]);
  memory.touch();
  advance(quietMs - 1);
  expect(waiting()).toBe(1);
  expect(done.length).toBe(2);
  advance(1);
  expect(done.slice(2)).toEqual(["garbage 35.99", "pages 35.99"]);
});

test("while requests come, garbage is collected in the background once a second if the heap has grown by a MiB", () => {
  const { memory, done, waiting, advance, allocate, keep } = watched();
  const work = (ms: number, bytesEach: number): void => {
    for (let passed = 0; passed < ms; passed += 100) {
      memory.touch();
      allocate(bytesEach);
      advance(100);
      expect(waiting()).toBe(1);
    }
  };
  work(3000, 200_000);
  expect(done).toEqual(["garbage in the background 1", "garbage in the background 2", "garbage in the background 3"]);
  done.length = 0;
  work(3000, 0);
  expect(done).toEqual([]);
  // Slow growth counts too: the sum of several seconds reaches a MiB.
  work(3000, 50_000);
  expect(done).toEqual(["garbage in the background 9"]);
  done.length = 0;
  // Kept memory is not garbage: one collection is tried, and no second one.
  work(500, 0);
  keep(4 << 20);
  work(2500, 0);
  expect(done).toEqual(["garbage in the background 10"]);
  done.length = 0;
  advance(quietMs);
  expect(done).toEqual(["garbage 14.9", "pages 14.9"]);
});

test("in a long quiet time garbage is collected a few times more, and pages are released after every check of an idle daemon", () => {
  const { memory, done, waiting, advance } = watched();
  advance(3600_000);
  const times = (what: string): number[] =>
    done.filter((line) => line.startsWith(what)).map((line) => Number(line.split(" ")[1]));
  expect(times("garbage")).toEqual([3, 4.5, 9.5, 24.5, 84.5]);
  const pages = times("pages");
  expect(pages.slice(0, 9)).toEqual([3, 4.5, 5.05, 9.5, 10.05, 15.05, 20.05, 24.5, 25.05]);
  expect(pages.slice(-3)).toEqual([3585.05, 3590.05, 3595.05]);
  expect(waiting()).toBe(1);
  memory.touch();
  done.length = 0;
  advance(quietMs - 1);
  expect(done).toEqual([]);
  expect(waiting()).toBe(1);
});

test("nothing runs after the end", () => {
  const { memory, done, waiting, advance } = watched();
  advance(quietMs);
  memory[Symbol.dispose]();
  done.length = 0;
  memory.touch();
  expect(waiting()).toBe(0);
  advance(3600_000);
  expect(done).toEqual([]);
});
