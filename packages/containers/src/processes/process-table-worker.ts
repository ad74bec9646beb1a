/** Makes one table of `docker top` and ends. Started by process-listing.ts, listed in apps/fathom/workers.txt. */
import { answerOnce } from "@fathom/sys";
import { listProcesses, type ProcessSource, type ProcessTable } from "./process-table.ts";

export interface TableRequest {
  readonly source: ProcessSource;
  readonly psArguments: string;
}

answerOnce(({ source, psArguments }: TableRequest): ProcessTable => listProcesses(source, psArguments));
