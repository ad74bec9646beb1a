/** Messages between the daemon's thread and an image worker. All of it is plain data. */
import { asEngineError, EngineError, errorCodes, type ErrorCode } from "@fathom/base";
import type { ContentInfo, UnpackedLayer } from "@fathom/store";
import type { BlobJob, CopyJob } from "./file-jobs.ts";
import type { LayerJob, LayerJobReport, LayerJobResult } from "./layer-job.ts";

/** The arguments and the result of each kind of job. */
export interface WorkerJobs {
  readonly layer: { readonly job: LayerJob; readonly result: LayerJobResult };
  readonly copy: { readonly job: CopyJob; readonly result: UnpackedLayer };
  readonly blob: { readonly job: BlobJob; readonly result: ContentInfo };
}

export type WorkerJobKind = keyof WorkerJobs;

export type WorkerJob = {
  readonly [K in WorkerJobKind]: { readonly kind: K; readonly job: WorkerJobs[K]["job"] };
}[WorkerJobKind];
export type WorkerResult = WorkerJobs[WorkerJobKind]["result"];

export type ToWorker =
  | { readonly kind: "start"; readonly id: number; readonly work: WorkerJob }
  | { readonly kind: "cancel"; readonly id: number };

export type FromWorker =
  | { readonly kind: "report"; readonly id: number; readonly report: LayerJobReport }
  | { readonly kind: "done"; readonly id: number; readonly result: WorkerResult }
  | { readonly kind: "failed"; readonly id: number; readonly code: ErrorCode; readonly message: string };

/** Errors lose their class on the way; code and message stay. */
export function failedMessage(id: number, error: unknown): FromWorker {
  const { code, message } = asEngineError(error);
  return { kind: "failed", id, code, message };
}

export function errorOf(message: Extract<FromWorker, { kind: "failed" }>): EngineError {
  return new EngineError(errorCodes.includes(message.code) ? message.code : "internal", message.message);
}
