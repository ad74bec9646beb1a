/** /proc/PID/stat (proc_pid_stat(5)). */

export interface ProcessStat {
  /** The name of its program, cut. */
  readonly name: string;
  /** "R", "S", "T" …: the third field. */
  readonly state: string;
  /** By the position that the manual gives it, from 3 on; "" where the kernel is older than the field. */
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
 * How often a process is looked at that should not stand still, and in how many looks in a row it must be found stopped: once may be its program's own
 * doing, which has begun a moment ago.
 */
export const stoppedLookMs = 500;
export const stoppedLooks = 3;

/** Stopped by a signal, or by a debugger. */
export function isStoppedState(state: string): boolean {
  return state === "T" || state === "t";
}
