import { expect, test } from "bun:test";
import { lifeOf } from "./life.ts";

const never = new Promise<never>(() => undefined);

test("a signal ends the daemon also while it resumes work", async () => {
  expect(await lifeOf({ resumed: never, stop: Promise.resolve(), broken: never })).toBeUndefined();
});

test("so does a bug, with its reason", async () => {
  expect(await lifeOf({ resumed: never, stop: never, broken: Promise.resolve("bug") })).toEqual({ reason: "bug" });
});

test("work that cannot be resumed is an error; work that is resumed is no end", async () => {
  const failed = Promise.reject(new Error("no"));
  await expect(lifeOf({ resumed: failed, stop: never, broken: never })).rejects.toThrow("no");
  const stop = Promise.withResolvers<void>();
  const resumed = Promise.resolve();
  const life = lifeOf({ resumed, stop: stop.promise, broken: never });
  let ended = false;
  void life.then(() => (ended = true));
  await resumed;
  await new Promise((resolve) => setImmediate(resolve));
  expect(ended).toBe(false);
  stop.resolve();
  expect(await life).toBeUndefined();
});
