/** /proc/PID/stat (proc_pid_stat(5)). */

export interface ProcessStat {
  /** The name of its program, which the kernel may cut. */
  readonly name: string;
  /** "R", "S", "T" …: the third field. */
  readonly state: string;
  /** By the number in the manual, from 3 on; "" when the kernel is older than the field. */
  field(position: number): string;
}

/** The name may hold spaces and brackets: it ends at the last one. */
export function parseProcessStat(text: string): ProcessStat {
  const end = text.lastIndexOf(")");
  const fields = text.slice(end + 2).split(" ");
  const field = (position: number): string => fields[position - 3] ?? "";
  return { name: text.slice(text.indexOf("(") + 1, end), state: field(3), field };
}

/**
 * How often to check a process that should not be stopped, and how many checks in a row must find it stopped: a single stop may come from the
 * program itself, which has just begun.
 */
export const stoppedLookMs = 500;
export const stoppedLooks = 3;

/** Stopped by a signal, or by a debugger. */
export function isStoppedState(state: string): boolean {
  return state === "T" || state === "t";
}
