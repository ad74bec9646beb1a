import { expect, test } from "bun:test";
import { Turns } from "./turns.ts";

test("when many long tasks run, one of them works in each round of the event loop", async () => {
  let parts = 0;
  let most = 0;
  let last = 0;
  let done = false;
  const round = (): void => {
    most = Math.max(most, parts - last);
    last = parts;
    if (!done) setImmediate(round);
  };
  setImmediate(round);
  const work = async (): Promise<void> => {
    const turns = new Turns();
    for (let part = 0; part < 5; part++) {
      await turns.end();
      parts++;
    }
  };
  await Promise.all(Array.from({ length: 100 }, work));
  done = true;
  expect(parts).toBe(500);
  expect(most).toBeLessThanOrEqual(2);
});
