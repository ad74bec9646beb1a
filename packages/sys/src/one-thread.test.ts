import { expect, test } from "bun:test";
import { failureOf, until } from "@fathom/base/testing";
import { askThread, type OneThread } from "./one-thread.ts";
import type { EchoRequest } from "./testing/echo-worker.ts";

const ask = (request: EchoRequest, path = "packages/sys/src/testing/echo-worker.ts"): OneThread<string> =>
  askThread<EchoRequest, string>(path, request, "echo");

test("a thread answers, or fails with the error of its work", async () => {
  const thread = ask({ text: "hello" });
  expect(await thread.answer).toBe("hello");
  thread.end();
  const failing = ask({ text: "no", fails: true });
  expect(await failureOf(failing.answer)).toMatchObject({ code: "conflict", message: "no" });
  failing.leave();
});

test("a thread that cannot do its work is an error that names it", async () => {
  const thread = ask({ text: "" }, "packages/sys/src/testing/no-such-worker.ts");
  expect(await failureOf(thread.answer)).toMatchObject({ code: "internal" });
  expect(String(await failureOf(thread.answer))).toContain("echo: the thread that does it failed");
  thread.leave();
});

test("a thread for which nobody waits any more still finishes its work", async () => {
  const seen = new SharedArrayBuffer(8);
  const flags = new Int32Array(seen);
  const thread = ask({ text: "late", seen, waitMs: 60_000 });
  thread.leave();
  expect(Atomics.load(flags, 0)).toBe(0);
  Atomics.store(flags, 1, 1);
  Atomics.notify(flags, 1);
  await until("its work is done", () => Atomics.load(flags, 0) === 1);
});
