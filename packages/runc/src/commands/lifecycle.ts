/** create, start, run, delete, kill, state. */
import { readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { EngineError, isEngineError } from "@fathom/base";
import { helperLink, LaunchFailure, signalRun, startCreated } from "@fathom/runtime";
import { SIGKILL } from "@fathom/sys";
import { findContainer, lockContainer, type Call, type Found } from "../call.ts";
import type { Flags } from "../command-line/parse.ts";
import { readBundle } from "../launch/bundle.ts";
import { createContainer, type Created } from "../launch/create.ts";
import { inForeground } from "../launch/foreground.ts";
import { runAllHooks, stateText } from "../launch/hooks.ts";
import { removeContainer } from "../launch/remove.ts";
import { streamRequest } from "../launch/streams.ts";
import { checkId, lockDirectory, removeDirectory } from "../state/directory.ts";
import { configOf, readRecord } from "../state/record.ts";
import { hasEnded, pidOf, statusOf } from "../state/status.ts";
import { launchWords, missing, notRunning } from "../words.ts";
import { signalNumber } from "./signals.ts";

/** The same failure with the words of a call that makes a process. */
export async function named<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = error instanceof LaunchFailure || isEngineError(error) ? error.code : "internal";
    throw new EngineError(code, launchWords(action, error), { cause: error });
  }
}

async function make(call: Call, flags: Flags, detach: boolean): Promise<Created> {
  if (flags.on("no-pivot")) throw new EngineError("not-implemented", "--no-pivot: not supported yet");
  const id = checkId(flags.args[0]);
  const bundle = readBundle(flags.text("bundle"));
  return createContainer(call, {
    id,
    bundle,
    streams: streamRequest(flags, bundle.spec.process?.terminal === true, detach),
    newKeyring: !flags.on("no-new-keyring"),
  });
}

export async function create(call: Call, flags: Flags): Promise<number> {
  await named("runc create failed", () => make(call, flags, true));
  return 0;
}

async function poststart(call: Call, found: Found): Promise<void> {
  const spec = configOf(found.state);
  if ((spec.hooks?.poststart ?? []).length === 0) return;
  await programRuns(found);
  const { bundle } = found.state;
  const state = { id: found.id, bundle, annotations: spec.annotations };
  const input = stateText(spec, state, "running", pidOf(found.state, "running"));
  await runAllHooks(spec, "poststart", input, (problem) => call.log.write("warning", problem));
}

const lookMs = 2;

/** Hooks of the container may come before its program; their timeouts limit the time. Resolves also when the process has ended. */
async function programRuns({ state }: Found): Promise<void> {
  const first = state.process;
  while (first !== undefined && !hasEnded(first) && isLauncher(first.process.pid)) await Bun.sleep(lookMs);
}

function isLauncher(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) === helperLink;
  } catch {
    return false;
  }
}

export async function start(call: Call, flags: Flags): Promise<number> {
  using found = await lockContainer(call, flags.args[0]);
  switch (statusOf(found.directory, found.state, call.cgroups)) {
    case "created":
      startCreated(found.directory);
      await poststart(call, found);
      return 0;
    case "stopped":
      throw new EngineError("conflict", "cannot start a container that has stopped");
    case "creating":
      throw new EngineError("conflict", "cannot start a container in the creating state");
    default:
      throw new EngineError("conflict", "cannot start an already running container");
  }
}

export async function run(call: Call, flags: Flags): Promise<number> {
  const detach = flags.on("detach");
  if (!detach) call.sys.setSubreaper(true);
  const created = await named("runc run failed", () => make(call, flags, detach));
  const found: Found = { id: created.state.id, directory: created.directory, state: created.state };
  try {
    const begin = async (): Promise<void> => {
      startCreated(created.directory);
      await poststart(call, found);
    };
    if (!detach) return await inForeground(created.run, created.terminal, begin);
    await begin();
    return 0;
  } finally {
    if (!detach && !flags.on("keep")) {
      using locked = await lockContainer(call, found.id).catch(() => undefined);
      // Somebody else may have removed it meanwhile.
      if (locked !== undefined) await removeContainer(call, locked);
    }
  }
}

export async function kill(call: Call, flags: Flags): Promise<number> {
  const found = findContainer(call, flags.args[0]);
  const signal = signalNumber(flags.args[1] ?? "SIGTERM");
  const cgroup = call.cgroups.open(found.state.cgroup);
  const first = found.state.process;
  const ended = first === undefined || hasEnded(first);
  const shares = !(configOf(found.state).linux?.namespaces ?? []).some(({ type }) => type === "pid");
  // Without a pid namespace of its own, the other processes do not end with the first.
  if (flags.on("all") || (shares && signal === SIGKILL)) {
    if (ended && !flags.on("all") && cgroup.processes().length === 0) throw notRunning();
    if (signal === SIGKILL) await cgroup.kill();
    else for (const pid of cgroup.processes()) sendTo(pid, signal);
    return 0;
  }
  if (ended || signalPlaced(call, found, signal) !== "sent") throw notRunning();
  // In a frozen cgroup of v1, a killed process stays.
  if (signal === SIGKILL && cgroup.frozen()) await cgroup.thaw();
  return 0;
}

function signalPlaced(call: Call, { state }: Found, signal: number): "sent" | "gone" | "unknown" {
  return state.process === undefined ? "gone" : signalRun(call.sys, state.process, signal);
}

function sendTo(pid: number, signal: number): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

export async function remove(call: Call, flags: Flags): Promise<number> {
  const force = flags.on("force");
  const id = checkId(flags.args[0]);
  const directory = join(call.root, id);
  try {
    using _lock = await lockDirectory(call.sys, directory);
    const state = readRecord(directory);
    if (state === undefined) {
      // A creation was killed before it wrote the record; nothing else exists then.
      if (!force) throw missing();
      removeDirectory(directory);
      return 0;
    }
    const status = statusOf(directory, state, call.cgroups);
    if (!force && status !== "stopped" && status !== "created")
      throw new EngineError("conflict", `cannot delete container ${id} that is not stopped: ${status}`);
    await removeContainer(call, { id, directory, state });
    return 0;
  } catch (error) {
    if (force && isEngineError(error, "not-found")) return 0;
    throw error;
  }
}

export async function state(call: Call, flags: Flags): Promise<number> {
  const found = findContainer(call, flags.args[0]);
  const status = statusOf(found.directory, found.state, call.cgroups);
  const { annotations, ociVersion } = configOf(found.state);
  const { bundle, rootfs, created } = found.state;
  const shown = {
    ociVersion,
    id: found.id,
    pid: pidOf(found.state, status),
    status,
    bundle: resolve(bundle),
    rootfs,
    created,
    ...(annotations === undefined ? {} : { annotations }),
    owner: "",
  };
  process.stdout.write(`${JSON.stringify(shown, undefined, 2)}\n`);
  return 0;
}
