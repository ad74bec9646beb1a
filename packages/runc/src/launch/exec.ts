/** Runs an additional process in a container, in the namespaces and cgroups of its first process. */
import { mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  compileExec,
  joinContainer,
  namespaceKinds,
  type DirectRun,
  type LaunchPlan,
  type NamespaceKind,
} from "@fathom/runtime";
import type { OciProcess } from "@fathom/spec";
import type { Call, Found } from "../call.ts";
import { configOf } from "../state/record.ts";
import { hasEnded } from "../state/status.ts";
import { notRunning } from "../words.ts";
import { withHome } from "./home.ts";
import { openStreams, type StreamRequest } from "./streams.ts";
import { ownSize, type TerminalCopy } from "./terminal.ts";

export interface ExecStarted {
  readonly run: DirectRun;
  readonly terminal: TerminalCopy | undefined;
}

/** When it fails, no process or file is left, and the container does not change. @throws conflict when its first process has ended */
export async function execInContainer(
  call: Call,
  { directory, state }: Found,
  process: OciProcess,
  request: StreamRequest,
): Promise<ExecStarted> {
  const first = state.process;
  if (first === undefined || hasEnded(first)) throw notRunning();
  const { pid } = first.process;
  const { linux } = configOf(state);
  using stack = new DisposableStack();
  const pidfd = call.sys.pidfdOpen(pid);
  stack.defer(() => call.sys.close(pidfd));
  const size = ownSize();
  const alone = compileExec(withHome(call.sys, `/proc/${pid}/root`, process), {
    ...(linux?.seccomp === undefined ? {} : { seccomp: linux.seccomp }),
    ...(linux?.personality === undefined ? {} : { personality: linux.personality }),
    ...(size === undefined ? {} : { console: size }),
    keyring: `_ses.${state.id}`,
  });
  const plan = joined(alone, pid, call.cgroups.open(state.cgroup).procsFiles);
  const streams = stack.use(openStreams(call.sys, request));
  const own = mkdtempSync(join(directory, "exec-"));
  stack.defer(() => rmSync(own, { recursive: true, force: true }));
  const stem = await call.launcher.prepare(plan.stem);
  // The number was this process's until now, so everything that was opened by it is of this process.
  if (hasEnded(first)) {
    await stem.discard();
    throw notRunning();
  }
  // The launch closes it.
  const rootFd = call.sys.dup(pidfd);
  const run = await stem.launchDirect({ plan, directory: own, rootFd, io: streams.io });
  return { run, terminal: streams.follow() };
}

const linkNames: Readonly<Record<NamespaceKind, string>> = {
  mount: "mnt",
  pid: "pid",
  network: "net",
  ipc: "ipc",
  uts: "uts",
  cgroup: "cgroup",
  user: "user",
  time: "time",
};

/** A process may not join the user namespace that it is in; so only those that differ are joined. */
function joined(plan: LaunchPlan, pid: number, cgroupProcs: readonly string[]): LaunchPlan {
  const differ = namespaceKinds.filter((kind) => {
    const link = `ns/${linkNames[kind]}`;
    return readlinkSync(`/proc/${pid}/${link}`) !== readlinkSync(`/proc/self/${link}`);
  });
  return joinContainer(plan, {
    namespaces: differ.filter((kind) => kind !== "pid"),
    ...(differ.includes("pid") ? { pidNamespace: `/proc/${pid}/ns/pid` } : {}),
    cgroupProcs,
  });
}
