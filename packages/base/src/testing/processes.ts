/** For tests: what the kernel says about processes (proc(5)). */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** True while the process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
}

/** @throws when the process does not exist */
export function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]);
}

/**
 * When the process began, in clock ticks since the boot, as decimal digits: with the number it identifies a process.
 * @throws when the process does not exist
 */
export function startTimeOf(pid: number): string {
  // The program's name is in brackets and may contain brackets and spaces. So fields are counted after the last bracket: the first of them is
  // field 3, and the start time is field 22.
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19]!;
}

/** Empty for a process that has ended. */
export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

/** The content of a file of /proc; "" when it does not exist any more. */
export function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The names in a directory of /proc; none when it does not exist any more. */
export function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Targets of this process's descriptors that lead to a directory or into it. The runtime opens and closes others at any time. */
export function descriptorsInto(directory: string): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target === directory || target.startsWith(`${directory}/`) ? [target] : [];
    } catch {
      return [];
    }
  });
}
