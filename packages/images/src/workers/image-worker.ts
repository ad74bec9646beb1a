/**
 * The image worker: a thread that executes jobs (layers of pulls and loads; files of commits) and reports. It does not use the database; it
 * leaves files, for which the engine's thread adds rows. layer-workers.ts starts it; apps/fathom/workers.txt lists it.
 */
import { EngineError, systemClock } from "@fathom/base";
import { openBlob } from "@fathom/distribution";
import { createContentWriter, createLayerUnpacker } from "@fathom/store";
import { createSys } from "@fathom/sys";
import { runBlobJob, runCopyJob } from "./file-jobs.ts";
import { runLayerJob, type LayerJobReport, type LayerTools } from "./layer-job.ts";
import { Throttle } from "./throttle.ts";
import { failedMessage, type FromWorker, type ToWorker, type WorkerJob, type WorkerResult } from "./worker-protocol.ts";

declare const self: Worker;

const reportIntervalMs = 100;
const running = new Map<number, AbortController>();
const sys = createSys();

const tools: LayerTools = {
  open: (source, descriptor, signal) => openBlob(source, descriptor, signal),
  writer: (storeRoot, expected) => createContentWriter(storeRoot, expected),
  unpacker: (diffPath) => createLayerUnpacker(sys, diffPath),
};

function send(message: FromWorker): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  self.postMessage(message);
}

function run(id: number, work: WorkerJob, signal: AbortSignal): Promise<WorkerResult> {
  switch (work.kind) {
    case "layer": {
      const throttle = new Throttle(reportIntervalMs, systemClock.monotonicMs);
      const report = (report: LayerJobReport): void => {
        if (report.kind === "downloaded" || throttle.due()) send({ kind: "report", id, report });
      };
      return runLayerJob(work.job, tools, report, signal);
    }
    case "copy":
      return runCopyJob(sys, work.job, signal);
    case "blob":
      return runBlobJob(work.job, signal);
  }
}

self.onmessage = (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  if (message.kind === "cancel") {
    running.get(message.id)?.abort(new EngineError("aborted", "the layer was cancelled"));
    return;
  }
  const { id, work } = message;
  const controller = new AbortController();
  running.set(id, controller);
  run(id, work, controller.signal)
    .then(
      (result) => send({ kind: "done", id, result }),
      (error: unknown) => send(failedMessage(id, error)),
    )
    .finally(() => running.delete(id));
};
