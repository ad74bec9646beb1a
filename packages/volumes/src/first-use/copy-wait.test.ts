import { expect, test } from "bun:test";
import { EngineError, silentLogger } from "@fathom/base";
import { failureOf } from "@fathom/base/testing";
import { CopyControl } from "./copy-control.ts";
import { waitForCopy, type CopyWait } from "./copy-wait.ts";

const limits = { stalledMs: 20, stopMs: 10_000, lookMs: 5 };

function wait(answer: (control: CopyControl) => Promise<void>, more: Partial<CopyWait> = {}) {
  const control = new CopyControl();
  let left = 0;
  const done = waitForCopy({ answer: answer(control), leave: () => void left++ }, control, {
    action: "fill the volume x",
    volume: "x",
    logger: silentLogger,
    shuttingDown: new AbortController().signal,
    limits,
    ...more,
  });
  return { done, left: () => left };
}

/** As the real thread does: it notices at its next step that it must stop, and says that it was cancelled. */
async function stopsWhenAsked(control: CopyControl): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    try {
      control.bytes(0);
    } catch (error) {
      throw new EngineError("aborted", "fill the volume x: the copy was cancelled", { cause: error });
    }
  }
}

test("a copy without progress is given up with that reason, though its thread only says that it was cancelled", async () => {
  const { done, left } = wait(stopsWhenAsked);
  expect(await failureOf(done)).toMatchObject({
    code: "unavailable",
    message: "fill the volume x: nothing was copied for 0.02 s, it was given up",
  });
  expect(left()).toBe(1);
});

test("a thread that never answers is left, with the same reason", async () => {
  const hanging = new Promise<void>(() => undefined);
  const { done, left } = wait(() => hanging, { limits: { ...limits, stopMs: 1 } });
  expect((await failureOf(done)).message).toContain("nothing was copied");
  expect(left()).toBe(1);
});

test("when the daemon stops, that is the reason; the thread's own failure is its own reason", async () => {
  const { done } = wait(stopsWhenAsked, { shuttingDown: AbortSignal.abort() });
  expect(await failureOf(done)).toMatchObject({
    code: "unavailable",
    message: "fill the volume x: the daemon is stopping",
  });
  const full = new EngineError("resource-exhausted", "no space left on device");
  expect(await failureOf(wait(() => Promise.reject(full)).done)).toBe(full);
});
