/** Makes one table of `docker top` and ends. Started by process-listing.ts, listed in apps/fathom/workers.txt. */
import { asEngineError, type ErrorCode } from "@fathom/base";
import { listProcesses, type ProcessSource, type ProcessTable } from "./process-table.ts";

declare const self: Worker;

export interface TableRequest {
  readonly source: ProcessSource;
  readonly psArguments: string;
}

export type TableAnswer =
  | { readonly kind: "table"; readonly table: ProcessTable }
  | { readonly kind: "failed"; readonly code: ErrorCode; readonly message: string };

self.onmessage = ({ data }: MessageEvent<TableRequest>) => {
  let answer: TableAnswer;
  try {
    answer = { kind: "table", table: listProcesses(data.source, data.psArguments) };
  } catch (error) {
    const { code, message } = asEngineError(error);
    answer = { kind: "failed", code, message };
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  self.postMessage(answer);
};
