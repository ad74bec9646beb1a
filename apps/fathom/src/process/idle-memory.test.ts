import { expect, test } from "bun:test";
import { IdleMemory } from "./idle-memory.ts";

function watched(quietMs: number): { memory: IdleMemory; done: string[] } {
  const done: string[] = [];
  const memory = new IdleMemory({
    quietMs,
    collectGarbage: () => void done.push("garbage"),
    sys: { releaseFilePages: () => done.push("pages") },
  });
  return { memory, done };
}

test("memory goes once in each quiet time, and not while there is something to do", async () => {
  const { memory, done } = watched(60);
  for (let count = 0; count < 10; count++) {
    memory.touch();
    const touched = performance.now();
    await Bun.sleep(5);
    // A machine that slept longer than that proves nothing.
    if (performance.now() - touched < 40) expect(done).toEqual([]);
    else done.length = 0;
  }
  while (done.length === 0) await Bun.sleep(5);
  // sleep: several times as long as the quiet that it waits for: it must not run twice
  await Bun.sleep(150);
  expect(done).toEqual(["garbage", "pages"]);
  memory.touch();
  while (done.length === 2) await Bun.sleep(5);
  expect(done).toEqual(["garbage", "pages", "garbage", "pages"]);
  memory[Symbol.dispose]();
});

test("nothing runs after the end", async () => {
  const { memory, done } = watched(5);
  memory[Symbol.dispose]();
  memory.touch();
  // sleep: several times as long as the quiet that would make it run
  await Bun.sleep(30);
  expect(done).toEqual([]);
});
