/** Messages between the engine and a pull worker. All of it is plain data. */
import { asEngineError, EngineError, errorCodes, type ErrorCode } from "@fathom/base";
import type { LayerJob, LayerJobReport, LayerJobResult } from "./layer-job.ts";

export type ToWorker =
  | { readonly kind: "start"; readonly id: number; readonly job: LayerJob }
  | { readonly kind: "cancel"; readonly id: number };

export type FromWorker =
  | { readonly kind: "report"; readonly id: number; readonly report: LayerJobReport }
  | { readonly kind: "done"; readonly id: number; readonly result: LayerJobResult }
  | { readonly kind: "failed"; readonly id: number; readonly code: ErrorCode; readonly message: string };

/** Errors lose their class on the way: code and message are what counts. */
export function failedMessage(id: number, error: unknown): FromWorker {
  const { code, message } = asEngineError(error);
  return { kind: "failed", id, code, message };
}

export function errorOf(message: Extract<FromWorker, { kind: "failed" }>): EngineError {
  return new EngineError(errorCodes.includes(message.code) ? message.code : "internal", message.message);
}
