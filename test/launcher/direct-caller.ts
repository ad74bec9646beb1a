/**
 * A program that launches a container directly, as an OCI runtime does. Its own standard streams are the container's, and it ends with the
 * container's code. The argument is JSON (`DirectCall`). What it sees is written to the report, once after the launch and again at the end.
 */
import { openSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startCreated, type DirectIo, type LaunchPlan, type LaunchRequest } from "@fathom/runtime";
import { launcher, plan, sys, type PlanChange } from "./rig.ts";

export interface DirectCall {
  readonly base: string;
  readonly rootfs: string;
  readonly at: string;
  readonly directory: string;
  readonly argv: readonly string[];
  readonly change?: PlanChange;
  /** Files that the program gets as descriptors 3, 4 … */
  readonly preserve?: readonly string[];
  /** Another path than "pid" in the directory. */
  readonly pidFile?: string;
  /** A pid namespace to join, as a path. */
  readonly joinPid?: string;
  /** Who starts a created process: this run itself, or another process. */
  readonly start?: "own" | "other";
}

export interface DirectReport {
  readonly pid: number;
  /** Of the calling process. */
  readonly children: readonly number[];
  readonly sockets: readonly string[];
  readonly leaked: number;
  readonly failure?: { readonly stage: string; readonly call: string; readonly errno: number };
  readonly exit?: { readonly code: number; readonly signal: number; readonly lost?: string };
}

function children(): number[] {
  const all = readdirSync("/proc/self/task").flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, "latin1").split(" ").filter(Boolean),
  );
  return all.map(Number);
}

const openCount = (): number => readdirSync("/proc/self/fd").length;

async function main(call: DirectCall): Promise<number> {
  const { directory } = call;
  sys.setSubreaper(true);
  const preservedFds = (call.preserve ?? []).map((file) => openSync(file, "r"));
  const own = plan(call, call.argv, call.change);
  const joining: LaunchPlan["stem"] = {
    ...own.stem,
    newNamespaces: own.stem.newNamespaces.filter((kind) => kind !== "pid"),
    ...(call.joinPid === undefined ? {} : { joinPidNamespace: call.joinPid }),
  };
  const whole = call.joinPid === undefined ? own : { ...own, stem: joining };
  // The helper's memory file stays open for the next launch.
  await (await launcher.prepare(whole.stem)).discard();
  const before = openCount();
  const report = (name: string, more: Partial<DirectReport>): void => {
    const state: DirectReport = {
      pid: 0,
      children: children(),
      sockets: readdirSync(directory).filter((file) => file.endsWith(".sock")),
      leaked: openCount() - before,
      ...more,
    };
    writeFileSync(join(directory, `${name}.new`), JSON.stringify(state));
    renameSync(join(directory, `${name}.new`), join(directory, `${name}.json`));
  };
  const prepared = await launcher.prepare(whole.stem);
  const request: LaunchRequest<DirectIo> = {
    plan: whole,
    directory,
    io: {
      kind: "direct",
      streams: { kind: "inherited", stdin: 0, stdout: 1, stderr: 2 },
      preservedFds,
      pidFile: call.pidFile ?? join(directory, "pid"),
    },
  };
  try {
    const run = await prepared.launchDirect(request);
    report("launched", { pid: run.pid });
    if (call.start === "own") await run.start();
    if (call.start === "other") startCreated(directory);
    const exit = await run.wait();
    report("ended", { pid: run.pid, exit });
    return exit.code;
  } catch (error) {
    const { stage, call: failed, errno } = error as { stage: string; call: string; errno: number };
    report("failed", { failure: { stage, call: failed, errno } });
    return 125;
  }
}

process.exit(await main(JSON.parse(process.argv[2]!)));
