import { expect, test } from "bun:test";
import { EngineError } from "@fathom/base";
import { errnoNumber, SysError } from "@fathom/sys";
import { errorBody, errorLine, statusOf } from "./errors.ts";

test("when work fails and undoing it fails too, the status is that of the work", async () => {
  const error: unknown = await (async () => {
    using _ = {
      [Symbol.dispose]: () => {
        throw new Error("link stays");
      },
    };
    throw new EngineError("not-found", "no such thing");
  })().catch((reason: unknown) => reason);
  expect(statusOf(error)).toBe(404);
  expect(errorBody(error).message).toStartWith("no such thing");
});

const EMFILE = errnoNumber("EMFILE");
const none = new SysError("socketpair", EMFILE);

test.each([
  ["a call", none],
  ["one of Bun's", Object.assign(new Error("EMFILE: too many open files, scandir '/x'"), { code: "EMFILE" })],
  ["what failed by it", new EngineError("internal", "starting fathom-init failed", { cause: none })],
])("a daemon without free descriptors answers with an error that says this and what to do: %s", (_, error) => {
  expect(statusOf(error)).toBe(503);
  expect(errorBody(error).message).toBe(
    `${error.message}: the daemon has no free descriptors; try again, or raise its limit (LimitNOFILE, ulimit -n)`,
  );
  expect(errorLine(error).error).toBe(errorBody(error).message);
});

test("other errors do not change", () => {
  expect(statusOf(new EngineError("not-found", "No such container: x", { cause: none }))).toBe(404);
  expect([statusOf(new SysError("open", 13)), errorBody(new SysError("open", 13)).message]).toEqual([
    500,
    new SysError("open", 13).message,
  ]);
});
