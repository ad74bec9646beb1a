/** How the kernel schedules a process: policy, I/O priority, processors. Numbers: sched_setattr(2), ioprio_set(2). */
import { EngineError } from "@fathom/base";
import type { OciProcess } from "@fathom/spec";
import type { Operation } from "../plan/plan.ts";

const policies: ReadonlyMap<string, number> = new Map([
  ["SCHED_OTHER", 0],
  ["SCHED_FIFO", 1],
  ["SCHED_RR", 2],
  ["SCHED_BATCH", 3],
  ["SCHED_ISO", 4],
  ["SCHED_IDLE", 5],
  ["SCHED_DEADLINE", 6],
]);

const flagBits: ReadonlyMap<string, number> = new Map([
  ["SCHED_FLAG_RESET_ON_FORK", 0x01],
  ["SCHED_FLAG_RECLAIM", 0x02],
  ["SCHED_FLAG_DL_OVERRUN", 0x04],
  ["SCHED_FLAG_KEEP_POLICY", 0x08],
  ["SCHED_FLAG_KEEP_PARAMS", 0x10],
  ["SCHED_FLAG_UTIL_CLAMP_MIN", 0x20],
  ["SCHED_FLAG_UTIL_CLAMP_MAX", 0x40],
]);

const ioClasses = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 } as const;
const ioClassShift = 13;
/** More than a kernel has. */
const mostProcessors = 8192;

function numberOf(names: ReadonlyMap<string, number>, name: string, where: string): number {
  const number = names.get(name);
  if (number === undefined) throw new EngineError("invalid-argument", `${where}: "${name}" is not known`);
  return number;
}

export function schedulingOperations({ scheduler, ioPriority }: OciProcess): Operation[] {
  const operations: Operation[] = [];
  if (scheduler !== undefined)
    operations.push({
      kind: "scheduler",
      policy: numberOf(policies, scheduler.policy, "process.scheduler.policy"),
      nice: scheduler.nice ?? 0,
      priority: scheduler.priority ?? 0,
      flags: (scheduler.flags ?? []).reduce(
        (bits, flag) => bits | numberOf(flagBits, flag, "process.scheduler.flags"),
        0,
      ),
      runtime: BigInt(scheduler.runtime ?? 0),
      deadline: BigInt(scheduler.deadline ?? 0),
      period: BigInt(scheduler.period ?? 0),
    });
  if (ioPriority !== undefined) {
    const { priority = 0 } = ioPriority;
    if (priority < 0 || priority > 7)
      throw new EngineError("invalid-argument", `process.ioPriority.priority: ${priority} is not within 0 to 7`);
    operations.push({ kind: "io-priority", value: (ioClasses[ioPriority.class] << ioClassShift) | priority });
  }
  return operations;
}

/** The processors of an exec. */
export function affinityOperations({ execCPUAffinity }: OciProcess): Operation[] {
  const { initial = "", final = "" } = execCPUAffinity ?? {};
  if (initial !== "") throw new EngineError("not-implemented", "process.execCPUAffinity.initial is not supported yet");
  return final === "" ? [] : [{ kind: "cpu-affinity", cpus: cpuList(final, "process.execCPUAffinity.final") }];
}

/** "0-3,7": as the kernel's cpu lists. @throws invalid-argument */
function cpuList(text: string, where: string): number[] {
  const refuse = (): never => {
    throw new EngineError("invalid-argument", `${where}: "${text}" is no list of processors`);
  };
  const cpus = new Set<number>();
  for (const part of text.split(",")) {
    const [, first = "", last = first] = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part) ?? refuse();
    if (Number(first) > Number(last) || Number(last) >= mostProcessors) refuse();
    for (let cpu = Number(first); cpu <= Number(last); cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}
