/**
 * Copies one tree in a thread of its own and ends. Started by volume-copy.ts, listed in apps/fathom/workers.txt. Descriptors are the process's: this thread
 * owns the two that it is given.
 */
import { asEngineError } from "@fathom/base";
import { storageError } from "@fathom/store/errors";
import { createSys } from "@fathom/sys/create-sys";
import { CopyControl, type CopyAnswer, type CopyRequest } from "./copy-control.ts";
import { copyTreeOrNothing } from "./copy-tree.ts";

declare const self: Worker;

const sys = createSys();

self.onmessage = ({ data }: MessageEvent<CopyRequest>) => {
  let answer: CopyAnswer = { kind: "done" };
  try {
    copyTreeOrNothing(sys, data.from, data.to, new CopyControl(data.control));
  } catch (error) {
    const { code, message } = asEngineError(storageError(data.action, error));
    answer = { kind: "failed", code, message };
  } finally {
    sys.close(data.from);
    sys.close(data.to);
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  self.postMessage(answer);
};
