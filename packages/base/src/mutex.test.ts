import { expect, test } from "bun:test";
import { KeyedMutex } from "./mutex.ts";

test("tasks with one key run one after another, tasks with other keys run at the same time, a failed task does not block", async () => {
  const mutex = new KeyedMutex();
  const seen: string[] = [];
  const task =
    (name: string, ms: number, fails = false) =>
    async (): Promise<void> => {
      seen.push(`${name} begins`);
      // sleep: the task takes time, and no other task may begin meanwhile
      await Bun.sleep(ms);
      seen.push(`${name} ends`);
      if (fails) throw new Error(name);
    };
  const results = await Promise.allSettled([
    mutex.run("a", task("a1", 20, true)),
    mutex.run("a", task("a2", 1)),
    mutex.run("b", task("b1", 1)),
  ]);
  expect(results.map((result) => result.status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  expect(seen.indexOf("a2 begins")).toBeGreaterThan(seen.indexOf("a1 ends"));
  expect(seen.indexOf("b1 ends")).toBeLessThan(seen.indexOf("a1 ends"));
});
