/**
 * `fathom name-helper SOCKET`: the process that answers containers' questions about names. The daemon starts it; no user needs it. It is this
 * program too, so its pages are shared with the daemon's.
 */
import { fstatSync, writeFileSync } from "node:fs";
import { startTimer } from "@fathom/base";
import { runNameHelper, type HelperProgram } from "@fathom/network";
import type { SupervisorPlace } from "@fathom/runtime";
import { createSys, O_CLOEXEC, O_RDONLY, type Sys } from "@fathom/sys";
import { runtimeSettings } from "./runtime-settings.ts";

/** After the last call of a daemon, memory that calls needed is released at these times. Questions about names need no more of it. */
const releaseMs = [2000, 20_000];

/** The thread sleeps by then; otherwise it would map pages again. */
const sleepsAfterMs = 20;

/** How the daemon starts it. */
export function nameHelperProgram(
  sys: Pick<Sys, "open">,
  place: Pick<SupervisorPlace, "cgroupProcs" | "oomScoreAdj"> | undefined,
): HelperProgram {
  let fd: number | undefined;
  // The file of this process, also when another one has its name now.
  const executable = (): number => (fd ??= sys.open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const { dev, ino, mtimeMs } = fstatSync(executable());
  // In the source tree, the program of this process is only the runtime.
  const script = import.meta.dir.startsWith("/$bunfs/") ? [] : [`${import.meta.dir}/../main.ts`];
  return {
    executable,
    argv: ["fathom-names", ...script, "name-helper"],
    env: [
      ...Object.entries(runtimeSettings).map(([name, value]) => `${name}=${value}`),
      ...(place === undefined ? [] : [`OOM_SCORE_ADJ=${place.oomScoreAdj}`, `CGROUPS=${place.cgroupProcs.join("\n")}`]),
    ],
    identity: Bun.hash(`${dev} ${ino} ${mtimeMs}`).toString(16),
  };
}

/** The helper's part. Its only argument is the path of its socket. */
export async function nameHelperMain([socket = ""]: readonly string[]): Promise<number> {
  takePlace(process.env);
  // It lives as long as containers do, and no service manager stops it with the daemon.
  for (const signal of ["SIGHUP", "SIGINT", "SIGPIPE"] as const) process.on(signal, () => undefined);
  const sys = createSys();
  let stopTimers: readonly (() => void)[] = [];
  const release = (): void => {
    Bun.gc(true);
    sys.releaseFilePages(sleepsAfterMs);
  };
  await runNameHelper({
    sys,
    socket,
    onActivity: () => {
      for (const stop of stopTimers) stop();
      stopTimers = releaseMs.map((ms) => startTimer(release, ms));
    },
  });
  return process.exit(0);
}

/** Leaves the daemon's cgroups and its OOM score, so that this process does not end with them. */
function takePlace({ OOM_SCORE_ADJ: score, CGROUPS: groups }: Readonly<Record<string, string | undefined>>): void {
  const tellKernel = (path: string, word: string): void => {
    try {
      writeFileSync(path, word);
    } catch {
      // Not on this machine: then it stays where it is.
    }
  };
  if (score !== undefined) tellKernel("/proc/self/oom_score_adj", score);
  for (const path of groups?.split("\n") ?? []) if (path !== "") tellKernel(path, "0");
}
