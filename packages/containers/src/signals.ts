/** Signal names and numbers of Linux (signal(7), x86 and arm), as clients write them: "KILL", "SIGKILL", "kill", "9", "RTMIN+3". */
import { ContainerProblem } from "./problem.ts";

const numbers: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  IOT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  POLL: 29,
  PWR: 30,
  SYS: 31,
  RTMIN: 34,
  RTMAX: 64,
};

export { SIGHUP, SIGKILL, SIGTERM } from "@fathom/sys";

/**
 * The number of a signal as a client wrote it.
 * @throws ContainerProblem "no-such-signal"
 */
export function parseSignal(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number === 0 || number > 64) throw new ContainerProblem({ kind: "no-such-signal", text, beyond: number > 64 });
    return number;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realTime = /^RT(MIN|MAX)([+-]\d+)?$/.exec(name);
  if (realTime) {
    const number = (realTime[1] === "MIN" ? 34 : 64) + Number(realTime[2] ?? 0);
    if (number >= 34 && number <= 64) return number;
  }
  const number = Object.hasOwn(numbers, name) ? numbers[name] : undefined;
  if (number === undefined) throw new ContainerProblem({ kind: "no-such-signal", text, beyond: false });
  return number;
}
