/**
 * Copies one tree in a thread of its own and ends. fill-volumes.ts starts it; apps/fathom/workers.txt lists it. Descriptors belong to the
 * process: this thread owns the two that it receives.
 */
import { EngineError } from "@fathom/base";
import { storageError } from "@fathom/store";
import { answerOnce, createSys, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "@fathom/sys";
import { CopyControl, type CopyRequest } from "./copy-control.ts";
import { copyTreeOrNothing } from "./copy-tree.ts";
import { openBelow } from "./filling.ts";

const sys = createSys();

answerOnce((request: CopyRequest): void => {
  let to: number | undefined;
  try {
    to = typeof request.to === "number" ? request.to : open(request.to);
    copyTreeOrNothing(sys, request.from, to, new CopyControl(request.control));
  } catch (error) {
    throw storageError(request.action, error);
  } finally {
    sys.close(request.from);
    if (to !== undefined) sys.close(to);
  }
});

function open({ path, subpath }: Exclude<CopyRequest["to"], number>): number {
  const root = sys.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  try {
    const to = openBelow(sys, root, subpath);
    if (to === undefined) throw new EngineError("not-found", `${path}/${subpath} does not exist any more`);
    return to;
  } finally {
    sys.close(root);
  }
}
