/** Makes a container from a bundle: directory, record, cgroup, process; the process waits for its start. */
import { existsSync, rmSync } from "node:fs";
import { EngineError, formatRfc3339Nano, systemClock } from "@fathom/base";
import {
  compile,
  mountPointOf,
  placedProcess,
  resourcesFromOci,
  type Cgroup,
  type DirectRun,
  type HookPlan,
  type LaunchPlan,
  type PlacedProcess,
} from "@fathom/runtime";
import type { OciSpec } from "@fathom/spec";
import type { Call } from "../call.ts";
import type { Bundle } from "./bundle.ts";
import { checkId, lockDirectory, removeDirectory, reserveDirectory } from "../state/directory.ts";
import { recordVersion, writeRecord, type ContainerRecord } from "../state/record.ts";
import { runHooks, stateAround, stateText, type HookState } from "./hooks.ts";
import { withHome } from "./home.ts";
import { Meeting } from "./meeting.ts";
import { listenedDescriptors, openStreams, type StreamRequest } from "./streams.ts";
import { ownSize, type TerminalCopy } from "./terminal.ts";

export interface CreateRequest {
  readonly id: string;
  readonly bundle: Bundle;
  readonly streams: StreamRequest;
  readonly newKeyring: boolean;
}

export interface Created {
  readonly directory: string;
  readonly state: ContainerRecord;
  readonly run: DirectRun;
  readonly terminal: TerminalCopy | undefined;
}

/** When it fails, nothing is left: no process, cgroup or file. */
export async function createContainer(call: Call, request: CreateRequest): Promise<Created> {
  const { bundle } = request;
  const id = checkId(request.id);
  await using undo = new AsyncDisposableStack();
  const cgroupPath = cgroupPathOf(bundle.spec, id);
  const creator = ownPlace();
  const directory = reserveDirectory(call.root, id);
  undo.defer(() => removeDirectory(directory));
  using _lock = await lockDirectory(call.sys, directory);
  checkFree(call, cgroupPath);
  const early: ContainerRecord = {
    version: recordVersion,
    id,
    bundle: bundle.path,
    rootfs: bundle.rootfs,
    created: formatRfc3339Nano(systemClock.nowNs()),
    cgroup: cgroupPath,
    creator,
    config: bundle.config,
  };
  writeRecord(directory, early);
  const cgroup = call.cgroups.create(cgroupPath);
  undo.defer(async () => {
    await cgroup.kill();
    await cgroup.remove();
  });
  const { run, terminal } = await launch(call, request, directory, cgroup);
  const { pidFile } = request.streams;
  undo.defer(() => {
    if (pidFile !== undefined) rmSync(pidFile, { force: true });
  });
  const placed = placedProcess(run.pid);
  if (placed === undefined || placed.process.startTime !== run.process?.startTime)
    throw new EngineError("conflict", "the container's process has ended before its start");
  const state = { ...early, process: placed };
  writeRecord(directory, state);
  undo.move();
  return { directory, state, run, terminal };
}

/** "" is a path that the id makes. A relative path begins at the root of each hierarchy. */
export function cgroupPathOf(spec: OciSpec, id: string): string {
  const given = spec.linux?.cgroupsPath ?? "";
  return given === "" ? `/${id}` : given.startsWith("/") ? given : `/${given}`;
}

/**
 * A record gives the right to kill what is in its cgroup. So the cgroup must be empty before the record is written: a call that is killed just
 * after that has not got another container's cgroup.
 */
function checkFree(call: Call, path: string): void {
  const count = call.cgroups.open(path).processes().length;
  if (count > 0) throw new EngineError("conflict", `container's cgroup is not empty: ${count} process(es) found`);
}

function ownPlace(): PlacedProcess {
  const place = placedProcess(process.pid);
  if (place === undefined) throw new EngineError("unavailable", "/proc cannot be read: mount procfs at /proc");
  return place;
}

async function launch(
  call: Call,
  request: CreateRequest,
  directory: string,
  cgroup: Cgroup,
): Promise<Pick<Created, "run" | "terminal">> {
  const { bundle, id } = request;
  const { annotations, hooks } = bundle.spec;
  const spec = withEnvironment(call, bundle);
  const state: HookState = { id, bundle: bundle.path, annotations };
  using stack = new DisposableStack();
  const hostHooks = [...(hooks?.prestart ?? []), ...(hooks?.createRuntime ?? [])];
  const meeting = hostHooks.length === 0 ? undefined : stack.use(new Meeting(call.sys, directory));
  const plan = compilePlan(request, spec, cgroup, {
    ...(meeting === undefined ? {} : { meeting: { reached: meeting.reached, proceed: meeting.proceed } }),
    createContainer: stateAround(spec, state, "creating"),
    startContainer: stateAround(spec, state, "created"),
  });
  const streams = stack.use(openStreams(call.sys, request.streams));
  cgroup.apply(resourcesFromOci(spec.linux?.resources));
  const stem = await call.launcher.prepare(plan.stem);
  const over = new AbortController();
  const held = meeting?.hold(async () => {
    const input = stateText(spec, state, "creating", stem.pid);
    await runHooks(spec, "prestart", input);
    await runHooks(spec, "createRuntime", input);
  }, over.signal);
  // The launch fails then too; its error only says that this call gave up.
  let hookError: unknown;
  const holding = held?.catch((error: unknown) => {
    if (!over.signal.aborted) hookError = error;
  });
  try {
    const run = await stem.launchDirect({ plan, directory, io: streams.io });
    return { run, terminal: streams.follow() };
  } catch (error) {
    over.abort();
    await holding;
    throw hookError ?? error;
  }
}

function compilePlan(request: CreateRequest, spec: OciSpec, cgroup: Cgroup, hooks: HookPlan): LaunchPlan {
  const { bundle, id, newKeyring } = request;
  const shared = /^r?shared$/.test(spec.linux?.rootfsPropagation ?? "");
  const size = ownSize();
  return compile(spec, {
    rootfs: { kind: "directory", path: bundle.rootfs },
    at: bundle.rootfs,
    ...(shared ? { atMountPoint: mountPointOf(bundle.rootfs) } : {}),
    cgroup,
    bundle: bundle.path,
    waitForStart: true,
    kcore: existsSync("/proc/kcore"),
    hooks,
    ...(size === undefined ? {} : { console: size }),
    ...(newKeyring ? { keyring: `_ses.${id}` } : {}),
  });
}

/** What runc adds to the environment: HOME, and what systemd's sd_listen_fds(3) expects. */
function withEnvironment(call: Call, { spec, rootfs }: Bundle): OciSpec {
  if (spec.process === undefined) return spec;
  const home = withHome(call.sys, rootfs, spec.process);
  const count = listenedDescriptors();
  const listening = count === 0 ? [] : [`LISTEN_FDS=${count}`, "LISTEN_PID=1"];
  return { ...spec, process: { ...home, env: [...(home.env ?? []), ...listening] } };
}
