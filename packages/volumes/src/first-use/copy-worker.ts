/**
 * Copies one tree in a thread of its own and ends. Started by fill-volumes.ts, listed in apps/fathom/workers.txt. Descriptors are the process's: this thread
 * owns the two that it is given.
 */
import { asEngineError } from "@fathom/base";
import { storageError } from "@fathom/store";
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY, createSys } from "@fathom/sys";
import { CopyControl, type CopyAnswer, type CopyRequest } from "./copy-control.ts";
import { copyTreeOrNothing } from "./copy-tree.ts";

declare const self: Worker;

const sys = createSys();

self.onmessage = ({ data }: MessageEvent<CopyRequest>) => {
  let answer: CopyAnswer = { kind: "done" };
  let to: number | undefined;
  try {
    to = typeof data.to === "number" ? data.to : sys.open(data.to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    copyTreeOrNothing(sys, data.from, to, new CopyControl(data.control));
  } catch (error) {
    const { code, message } = asEngineError(storageError(data.action, error));
    answer = { kind: "failed", code, message };
  } finally {
    sys.close(data.from);
    if (to !== undefined) sys.close(to);
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  self.postMessage(answer);
};
