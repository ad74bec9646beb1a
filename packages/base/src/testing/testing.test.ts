import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { childrenOf, descriptorsInto, isAlive, parentOf, randomFrom, temporaryDirectory, until } from "./index.ts";

test("until ends when the condition is true, and throws with the name of the condition", async () => {
  let asked = 0;
  await until("asked twice", async () => ++asked === 2);
  expect(asked).toBe(2);
  await expect(until("never", () => false, { limitMs: 20 })).rejects.toThrow("waited 20 ms in vain: never");
});

test("the same seed gives the same numbers", () => {
  const numbers = (seed: number): number[] => {
    const random = randomFrom(seed);
    return [random.next(), random.below(10), random.pick([1, 2, 3])];
  };
  expect(numbers(7)).toEqual(numbers(7));
  expect(numbers(7)).not.toEqual(numbers(8));
  const [next, below] = numbers(7);
  expect([next! >= 0 && next! < 1, below! >= 0 && below! < 10]).toEqual([true, true]);
});

test("a temporary directory is removed after its scope, and no descriptor leads into it", () => {
  let path: string;
  {
    using directory = temporaryDirectory("base");
    ({ path } = directory);
    expect(existsSync(path)).toBe(true);
    expect(descriptorsInto(path)).toEqual([]);
    expect(descriptorsInto("/dev").length).toBeGreaterThan(0);
  }
  expect(existsSync(path)).toBe(false);
});

test("a process is alive until it has ended, with its parent", async () => {
  const child = Bun.spawn(["sleep", "100"], { stdio: ["ignore", "ignore", "ignore"] });
  expect([isAlive(child.pid), parentOf(child.pid)]).toEqual([true, process.pid]);
  expect(childrenOf(process.pid)).toContain(child.pid);
  child.kill("SIGKILL");
  await child.exited;
  expect([isAlive(child.pid), childrenOf(child.pid)]).toEqual([false, []]);
});
