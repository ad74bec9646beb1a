/** Makes one table of `docker top` and ends. process-listing.ts starts it; apps/fathom/workers.txt lists it. */
import { answerOnce } from "@fathom/sys";
import { listProcesses, type ProcessSource, type ProcessTable } from "./process-table.ts";

export interface TableRequest {
  readonly source: ProcessSource;
  readonly columnNames: readonly string[];
}

answerOnce(({ source, columnNames }: TableRequest): ProcessTable => listProcesses(source, columnNames));
