/** The table of `docker top`. A separate thread makes it, because reading /proc may wait for what the container does. */
import { EngineError, Semaphore, within } from "@fathom/base";
import type { Cgroup } from "@fathom/runtime";
import { askThread } from "@fathom/sys";
import { parseArguments } from "./ps-arguments.ts";
import type { ProcessSource, ProcessTable } from "./process-table.ts";
import type { TableRequest } from "./process-table-worker.ts";

/** Listed in apps/fathom/workers.txt. */
const workerPath = "packages/containers/src/processes/process-table-worker.ts";
const answerMs = 10_000;

/** How many tables are made at the same time. A table whose thread does not answer no longer counts. */
const places = new Semaphore(2);
const always = new AbortController().signal;

/** @throws as `parseArguments`; unavailable when the thread does not answer in time */
export async function containerProcesses(cgroup: Cgroup, psArguments: string): Promise<ProcessTable> {
  const columnNames = parseArguments(psArguments);
  return places.run(always, () => tableInThread({ source: sourceOf(cgroup), columnNames }));
}

function sourceOf(cgroup: Cgroup): ProcessSource {
  const { processDirectory } = cgroup;
  return processDirectory === undefined
    ? { kind: "pids", pids: cgroup.processes() }
    : { kind: "cgroup", directory: processDirectory };
}

async function tableInThread(request: TableRequest): Promise<ProcessTable> {
  const thread = askThread<TableRequest, ProcessTable>(workerPath, request, "list processes");
  try {
    return await within(thread.answer, answerMs, () => {
      throw new EngineError(
        "unavailable",
        `the processes could not be read within ${answerMs / 1000} s: one of them keeps the kernel waiting`,
      );
    });
  } finally {
    thread.end();
  }
}
