/**
 * The pull worker: a thread that takes layer jobs and reports. It knows no database; what it leaves are files that the engine's thread makes known.
 * Started by layer-workers.ts, listed in apps/fathom/workers.txt.
 */
import { EngineError, systemClock } from "@fathom/base";
import { openBlob } from "@fathom/distribution/blob";
import { createContentWriter } from "@fathom/store/content-writer";
import { createSys } from "@fathom/sys/create-sys";
import { createLayerUnpacker } from "@fathom/store/unpack";
import { runLayerJob, type LayerTools } from "./layer-job.ts";
import { Throttle } from "./progress.ts";
import { failedMessage, type FromWorker, type ToWorker } from "./worker-protocol.ts";

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

self.onmessage = (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  if (message.kind === "cancel") {
    running.get(message.id)?.abort(new EngineError("aborted", "the layer was cancelled"));
    return;
  }
  const { id, job } = message;
  const controller = new AbortController();
  running.set(id, controller);
  const throttle = new Throttle(reportIntervalMs, systemClock.monotonicMs);
  runLayerJob(
    job,
    tools,
    (report) => {
      if (report.kind === "downloaded" || throttle.due()) send({ kind: "report", id, report });
    },
    controller.signal,
  )
    .then(
      (result) => send({ kind: "done", id, result }),
      (error: unknown) => send(failedMessage(id, error)),
    )
    .finally(() => running.delete(id));
};
