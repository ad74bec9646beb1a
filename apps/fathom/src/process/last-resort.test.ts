import { EventEmitter } from "node:events";
import { createLogger } from "@fathom/base";
import { expect, test } from "bun:test";
import { unhandledError } from "./last-resort.ts";

test("the first error that no code handles begins the end, all are logged with their stacks, and if the end does not come it is forced", async () => {
  const source = new EventEmitter();
  let log = "";
  const logger = createLogger("info", { write: (line) => void (log += line) }, "text");
  let code: number | undefined;
  const exited = new Promise<void>((resolve) => {
    const exit = (given: number): void => {
      code = given;
      resolve();
    };
    void unhandledError({ logger, source, exit, patienceMs: 1 }).then((reason) => source.emit("resolved", reason));
  });
  const resolved = new Promise((resolve) => source.once("resolved", resolve));
  const reason = new Error("nobody looks");
  source.emit("unhandledRejection", reason);
  source.emit("uncaughtException", "second");
  expect(await resolved).toBe(reason);
  await exited;
  expect(code).toBe(1);
  expect(log).toContain("event=unhandledRejection");
  expect(log).toContain("last-resort.test.ts");
  expect(log).toContain("second");
});
