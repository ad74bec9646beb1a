/** The table of `docker top`, made in a thread of its own: a read of /proc may wait for what the container does. */
import { EngineError, Semaphore } from "@fathom/base";
import type { Cgroup } from "@fathom/runtime";
import { askThread } from "@fathom/sys";
import type { ProcessSource, ProcessTable } from "./process-table.ts";
import type { TableRequest } from "./process-table-worker.ts";

/** Listed in apps/fathom/workers.txt. */
const workerPath = "packages/containers/src/processes/process-table-worker.ts";
const answerMs = 10_000;

/** Tables that are made at the same time. One whose thread does not answer gives its place back. */
const places = new Semaphore(2);
const always = new AbortController().signal;

/** @throws as `listProcesses`, unavailable when the thread does not answer in time */
export function containerProcesses(cgroup: Cgroup, psArguments: string): Promise<ProcessTable> {
  return places.run(always, () => tableInThread({ source: sourceOf(cgroup), psArguments }));
}

/** By cgroup v2 where it is there; else by the hierarchy that a container is least likely to have been moved within. */
function sourceOf(cgroup: Cgroup): ProcessSource {
  const { hierarchies } = cgroup;
  const by = (name: string) => hierarchies.find(({ selectors }) => selectors.some(([key]) => key === name));
  const place = hierarchies.find(({ version }) => version === 2) ?? by("pids") ?? by("devices") ?? hierarchies[0];
  return place === undefined
    ? { kind: "pids", pids: cgroup.processes() }
    : { kind: "cgroup", directory: place.directory };
}

async function tableInThread(request: TableRequest): Promise<ProcessTable> {
  const thread = askThread<TableRequest, ProcessTable>(workerPath, request, "list processes");
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      late.reject(
        new EngineError(
          "unavailable",
          `the processes could not be read within ${answerMs / 1000} s: one of them keeps the kernel waiting`,
        ),
      ),
    answerMs,
  );
  try {
    return await Promise.race([thread.answer, late.promise]);
  } finally {
    clearTimeout(timer);
    thread.end();
  }
}
