/**
 * A daemon that is killed while it starts containers. The argument is JSON (`StraysCall`). It prints what it has made as one line of JSON
 * (`StraysReport`), and then lives until it is killed.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createLauncher, type PreparedStem, type RunIdentity } from "@fathom/runtime";
import { helperExecutable } from "@fathom/sys";
import { plan, sys, unlogged, type RootPlace } from "./rig.ts";
import { until } from "@fathom/base/testing";

export interface StraysCall extends RootPlace {
  readonly state: string;
  readonly otherState: string;
  /** Directories of the runs; each exists. */
  readonly claimed: string;
  readonly launched: string;
  readonly standing: string;
}

/**
 * `ready`: in the pool. `claimed`: asked to launch, but the launch has not begun. `standing`: its process is stopped during the launch.
 * `other`: of another daemon.
 */
export type StrayName = "ready" | "claimed" | "launched" | "standing" | "other" | "unmarked";
export type StraysReport = Readonly<Record<StrayName, RunIdentity>>;

const SIGSTOP = 19;

const stands = (pid: number): boolean => /^State:\s*T/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));

async function stop(pid: number): Promise<void> {
  sys.kill(pid, SIGSTOP);
  await until("it is stopped", () => stands(pid));
}

async function main(call: StraysCall): Promise<void> {
  const executable = (): number => helperExecutable(sys);
  const own = createLauncher({ sys, executable, stateDirectory: call.state });
  const foreign = createLauncher({ sys, executable, stateDirectory: call.otherState });
  const plain = createLauncher({ sys, executable });
  const whole = plan(call, ["sleep", "1000"]);
  const stem = (of: typeof own): Promise<PreparedStem> => of.prepare(whole.stem);
  const stems = {
    ready: await stem(own),
    claimed: await stem(own),
    launched: await stem(own),
    standing: await stem(own),
    other: await stem(foreign),
    unmarked: await stem(plain),
  };
  const of = (name: StrayName): RunIdentity => stems[name].identity!;
  await stems.launched.launch({ plan: whole, directory: call.launched, io: unlogged() });
  for (const name of ["ready", "claimed", "launched", "other", "unmarked"] as const)
    await stop(of(name).supervisor.pid);
  await stop(of("standing").process.pid);
  for (const name of ["claimed", "standing"] as const)
    stems[name].launch({ plan: whole, directory: call[name], io: unlogged() }).catch(() => undefined);
  await until("its launch is running", () => existsSync(join(call.standing, "supervisor.sock")));
  const report: StraysReport = {
    ready: of("ready"),
    claimed: of("claimed"),
    launched: of("launched"),
    standing: of("standing"),
    other: of("other"),
    unmarked: of("unmarked"),
  };
  console.log(JSON.stringify(report));
  await new Promise(() => setInterval(() => undefined, 2 ** 30));
}

const call: StraysCall = JSON.parse(process.argv[2]!);
await main(call);
