import { expect, test } from "bun:test";
import { affinityOperations, schedulingOperations } from "./scheduling.ts";

const process = { cwd: "/", user: { uid: 0, gid: 0 } };

test("policies, flags and I/O priorities become the kernel's numbers", () => {
  const flags = ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"];
  const scheduler = { policy: "SCHED_DEADLINE", nice: -3, priority: 2, flags, runtime: 1, deadline: 2, period: 3n };
  expect(
    schedulingOperations({ ...process, scheduler, ioPriority: { class: "IOPRIO_CLASS_IDLE", priority: 7 } }),
  ).toEqual([
    { kind: "scheduler", policy: 6, nice: -3, priority: 2, flags: 3, runtime: 1n, deadline: 2n, period: 3n },
    { kind: "io-priority", value: (3 << 13) | 7 },
  ]);
  expect(schedulingOperations(process)).toEqual([]);
  expect(() => schedulingOperations({ ...process, scheduler: { policy: "SCHED_BEST" } })).toThrow("is not known");
  expect(() => schedulingOperations({ ...process, ioPriority: { class: "IOPRIO_CLASS_BE", priority: 8 } })).toThrow(
    "is not within 0 to 7",
  );
});

test("lists of processors", () => {
  const cpus = (final: string): unknown => affinityOperations({ ...process, execCPUAffinity: { final } });
  expect(cpus("0-3,7, 2")).toEqual([{ kind: "cpu-affinity", cpus: [0, 1, 2, 3, 7] }]);
  expect(cpus("")).toEqual([]);
  for (const text of ["x", "3-1", "0-", "1,,2", "-1", "0-99999999"])
    expect(() => cpus(text)).toThrow("is no list of processors");
  expect(() => affinityOperations({ ...process, execCPUAffinity: { initial: "0" } })).toThrow(
    "initial is not supported",
  );
});
