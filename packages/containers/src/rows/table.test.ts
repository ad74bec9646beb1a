import { expect, test } from "bun:test";
import type { Database } from "@fathom/store";
import type { ContainerSpec } from "../container-spec.ts";
import type { RestartPolicy } from "../lifecycle/ends/restart-policy.ts";
import type { RecordOwner } from "../contract.ts";
import type { ContainerRecord, ContainerState } from "../record.ts";
import { RecordForm } from "./record-form.ts";
import { ContainerTable, type ContainerPatch } from "./table.ts";

const owner: RecordOwner = { upgrade: (record) => record };

/** Notes for each write whether it waits for the disk. */
function makeTable(): { readonly table: ContainerTable; readonly writes: string[] } {
  const writes: string[] = [];
  let relaxed = false;
  const database = {
    migrate: () => undefined,
    all: () => [],
    run: () => void writes.push(relaxed ? "may be lost" : "waits"),
    relaxed<T>(action: () => T): T {
      relaxed = true;
      try {
        return action();
      } finally {
        relaxed = false;
      }
    },
  } satisfies Partial<Record<keyof Database, unknown>>;
  return {
    table: new ContainerTable(database as unknown as Database, new RecordForm(owner)),
    writes,
  };
}

const running: ContainerState = {
  status: "running",
  pid: 7,
  exitCode: 0,
  oomKilled: false,
  error: "",
  startedAt: "2026-01-01T00:00:00Z",
  finishedAt: "",
};

type Spec = Partial<Pick<ContainerSpec, "restart" | "removeOnExit">>;

function makeRecord(spec: Spec): ContainerRecord {
  return {
    id: "a".repeat(64),
    name: "web",
    spec: { removeOnExit: false, ...spec },
    mounts: [],
    networks: [],
    state: running,
    restartCount: 0,
    restartDelayMs: 0,
    stoppedByUser: false,
  } as unknown as ContainerRecord;
}

const policy = (kind: RestartPolicy["kind"]): Spec => ({ restart: { kind, maximumRetryCount: 0 } });
const stop: ContainerPatch = { stoppedByUser: true };
const end: ContainerPatch = { state: { ...running, status: "exited", exitCode: 137 } };

test.each<[string, Spec, boolean, ContainerPatch, "waits" | "may be lost"]>([
  ["the wish to stop one without a policy", policy("no"), false, stop, "may be lost"],
  ["the wish to stop one that its policy would start again", policy("always"), false, stop, "waits"],
  ["that wish, also where it is being removed", policy("always"), true, stop, "waits"],
  ["an end", policy("no"), false, end, "waits"],
  ["an end whose container is being removed by force", policy("no"), true, end, "may be lost"],
  ["an end of --rm", { ...policy("no"), removeOnExit: true }, false, end, "may be lost"],
  ["an end with the wish to stop", policy("no"), false, { ...end, ...stop }, "waits"],
  ["a removal that begins with volumes", policy("no"), true, { ...end, pending: "removing-with-volumes" }, "waits"],
  ["a restart that is counted", policy("always"), true, { ...end, restartCount: 1 }, "waits"],
  ["a health check", policy("no"), false, { health: undefined }, "may be lost"],
])("which writes wait for the disk: %s", (_, host, removed, patch, expected) => {
  const { table, writes } = makeTable();
  const container = table.insert(makeRecord(host), "unknown");
  if (removed) container.forcedRemovals++;
  writes.length = 0;
  table.update(container, patch);
  expect(writes).toEqual([expected]);
});
