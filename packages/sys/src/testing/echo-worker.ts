/** A thread for one-thread.test.ts: the request tells it what to do. */
import { EngineError } from "@fathom/base";
import { answerOnce } from "../one-thread.ts";

export interface EchoRequest {
  readonly text: string;
  readonly fails?: boolean;
  /** Set before it answers, if it is given. */
  readonly seen?: SharedArrayBuffer;
  readonly waitMs?: number;
}

answerOnce(({ text, fails = false, seen, waitMs = 0 }: EchoRequest): string => {
  if (seen !== undefined) {
    const flags = new Int32Array(seen);
    Atomics.wait(flags, 1, 0, waitMs);
    Atomics.store(flags, 0, 1);
  }
  if (fails) throw new EngineError("conflict", text);
  return text;
});
