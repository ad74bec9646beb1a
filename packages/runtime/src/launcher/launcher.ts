/**
 * Starts containers: spawns one fathom-init for each, which makes the process (prepare) and then executes the plan (launch). Finds running ones
 * again by their directory.
 */
import { EngineError, settlesWithin } from "@fathom/base";
import { SOCK_STREAM, type SpawnRequest } from "@fathom/sys";
import type { Launcher, PreparedStem, ProcessIdentity } from "../contract.ts";
import { encodeStem, timeOffsetsText } from "../plan/plan-encoding.ts";
import type { LaunchPlan } from "../plan/plan.ts";
import { WireReader, WireWriter } from "../plan/wire.ts";
import type { SupervisorSys } from "../supervisor/client.ts";
import { SupervisorConnection } from "../connection/connection.ts";
import { launchFailure } from "../supervisor/launch-failure.ts";
import { identify } from "../supervisor/process-facts.ts";
import { messageTypes, SupervisorFailure } from "../connection/protocol.ts";
import { endOrClose, withAbort } from "../connection/waits.ts";
import { Prepared } from "./prepared-stem.ts";
import { assume, reconnect } from "./reconnect.ts";
import { endStrays, markOf } from "./strays.ts";
import {
  giveUpWhenChildStopped,
  giveUpWhenStopped,
  killSupervisor,
  moveSupervisor,
  reap,
  spawnInCgroup,
  type ChildSys,
  type SupervisorPlace,
} from "./supervisor-process.ts";

export type LauncherSys = SupervisorSys & ChildSys;

export interface LauncherOptions {
  readonly sys: LauncherSys;
  /** Descriptor of fathom-init: `helperExecutable` of @fathom/sys. */
  readonly executable: () => number;
  /** ps shows it: "fathom-init: <title>". */
  readonly title?: (stem: LaunchPlan["stem"]) => string;
  /** Descriptor for the output of a supervisor; /dev/null when absent. */
  readonly logFd?: number;
  /** The cgroups of supervisors, so that they do not end when the daemon or its cgroup is killed. Absent: beside the daemon. */
  readonly place?: SupervisorPlace;
  /**
   * The directory of the daemon's state. It exists, and no other living launcher has it. When this launcher is created, it ends stems that an
   * earlier launcher made for this directory and never launched. Absent: it does not look for such stems.
   */
  readonly stateDirectory?: string;
  /** A stem with this supervisor was ended. */
  readonly onStray?: (supervisor: ProcessIdentity) => void;
}

const discardLimitMs = 5000;
/** Limits for a supervisor that answers, but whose child does not finish: mounts on a slow server, a disk that hangs. */
const prepareLimitMs = 60_000;
/** The title for ps overwrites the arguments, so they must be long enough. */
const titleRoom = " ".repeat(160);

export function createLauncher(options: LauncherOptions): Launcher {
  const { sys, stateDirectory, onStray } = options;
  const mark = stateDirectory === undefined ? undefined : markOf(stateDirectory);
  const swept =
    mark === undefined
      ? Promise.resolve()
      : endStrays(sys, mark).then((ended) => ended.forEach((supervisor) => onStray?.(supervisor)));
  return {
    prepare: (stem, signal) => prepare(options, mark, stem, signal),
    reconnect: async (directory, known) => {
      // First, so that a launch that was requested but not begun counts as "gone" and not as "running".
      await swept;
      return reconnect(sys, directory, known);
    },
    assume: (directory, known, reason) => assume(sys, directory, known, reason),
  };
}

async function prepare(
  { sys, executable, title, logFd, place }: LauncherOptions,
  mark: string | undefined,
  stem: LaunchPlan["stem"],
  signal?: AbortSignal,
): Promise<PreparedStem> {
  signal?.throwIfAborted();
  const [mine, theirs] = sys.socketpair(SOCK_STREAM, false);
  let supervisorPid: number;
  let procsFiles = place?.cgroupProcs ?? [];
  try {
    const request: SpawnRequest = {
      executableFd: executable(),
      argv: ["fathom-init", titleRoom],
      env: mark === undefined ? [] : [mark],
      fds: [-1, -1, logFd ?? -1, theirs],
      newSession: true,
    };
    const born =
      place?.birthplace === undefined ? undefined : spawnInCgroup(sys, request, place.birthplace.directoryFd);
    supervisorPid = born ?? sys.spawn(request);
    if (born !== undefined) procsFiles = procsFiles.filter((file) => file !== place?.birthplace?.procsFile);
  } catch (error) {
    sys.close(mine);
    throw new EngineError("internal", "starting fathom-init failed", { cause: error });
  } finally {
    sys.close(theirs);
  }
  const connection = new SupervisorConnection(sys, mine);
  const reaped = connection.closed.then(() => reap(sys, supervisorPid));
  // It is not reaped yet, so its number is its own.
  const supervisor = { pid: supervisorPid, process: identify(supervisorPid), reaped };
  giveUpWhenStopped(connection, supervisor);
  const looks = giveUpWhenChildStopped(connection, supervisorPid);
  try {
    const writer = new WireWriter();
    encodeStem(writer, stem);
    writer.text(`fathom-init: ${title?.(stem) ?? ""}`).text(timeOffsetsText(stem.timeOffsets));
    const prepared = connection.request(messageTypes.prepare, writer.finish(), [], { deadlineMs: prepareLimitMs });
    // After the stem is made, because the stem must not have the supervisor's score while it waits. Both join their cgroups at the same time.
    if (place !== undefined) void moveSupervisor(connection, place, procsFiles);
    const answer = await withAbort(prepared, signal, () => killSupervisor(sys, supervisorPid));
    const pid = new WireReader(answer).u32();
    return new Prepared(sys, connection, supervisor, pid, stem);
  } catch (error) {
    // A supervisor that rejected the request ends by itself. If it did not answer, there is nothing to wait for.
    if (error instanceof SupervisorFailure) await settlesWithin(connection.closed, discardLimitMs);
    if (connection.isOpen) killSupervisor(sys, supervisorPid);
    await endOrClose(connection);
    throw signal?.aborted === true ? error : launchFailure(error, { operations: [] }, "stem");
  } finally {
    clearInterval(looks);
  }
}
