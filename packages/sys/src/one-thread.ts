/** A thread that gets one request, answers it and ends. For work that may wait for a file system, or take long. */
import { asEngineError, EngineError, type ErrorCode } from "@fathom/base";
import { workerSource } from "./worker.ts";

declare const self: Worker;

type ThreadAnswer<A> =
  | { readonly kind: "done"; readonly value: A }
  | { readonly kind: "failed"; readonly code: ErrorCode; readonly message: string };

export interface OneThread<A> {
  /** @throws EngineError: the error of the work, or `internal` when the thread itself fails */
  readonly answer: Promise<A>;
  /** Ends the thread, whatever it is doing. */
  end(): void;
  /** Nobody waits any more: the thread ends after its answer, so that it can close what it has open. */
  leave(): void;
}

/**
 * @param pathInTree An entry point of apps/fathom/workers.txt that calls `answerOnce`.
 * @param request Plain data.
 * @param action For messages: "list processes".
 */
export function askThread<Q, A>(pathInTree: string, request: Q, action: string): OneThread<A> {
  const { promise: answer, resolve, reject } = Promise.withResolvers<A>();
  // The caller may leave it before it fails.
  answer.catch(() => undefined);
  const worker = new Worker(workerSource(pathInTree), { smol: true });
  let answered = false;
  let left = false;
  worker.onmessage = ({ data }: MessageEvent<ThreadAnswer<A>>) => {
    answered = true;
    if (left) worker.terminate();
    if (data.kind === "done") resolve(data.value);
    else reject(new EngineError(data.code, data.message));
  };
  worker.onerror = ({ message }) =>
    reject(new EngineError("internal", `${action}: the thread that does it failed: ${message}`));
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  worker.postMessage(request);
  return {
    answer,
    end: () => worker.terminate(),
    leave() {
      left = true;
      if (answered) worker.terminate();
    },
  };
}

/** In the thread: its whole work. An error that it throws becomes the answer's error. */
export function answerOnce<Q, A>(work: (request: Q) => A): void {
  self.onmessage = ({ data }: MessageEvent<Q>) => {
    let answer: ThreadAnswer<A>;
    try {
      answer = { kind: "done", value: work(data) };
    } catch (error) {
      const { code, message } = asEngineError(error);
      answer = { kind: "failed", code, message };
    }
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    self.postMessage(answer);
  };
}
