/** A stem that waits for its plan: PreparedStem of the contract. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { EngineError, settlesWithin } from "@fathom/base";
import { isSysError, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "@fathom/sys";
import type {
  DirectIo,
  DirectRun,
  Launched,
  LaunchRequest,
  PreparedStem,
  ProcessIdentity,
  RunIdentity,
  SupervisedIo,
} from "../contract.ts";
import { encodePlan } from "../plan/plan-encoding.ts";
import type { LaunchPlan } from "../plan/plan.ts";
import { WireReader } from "../plan/wire.ts";
import { closeAll, openAttachments, type AttachmentPairs } from "../supervisor/attachments.ts";
import { SupervisorClient, type SupervisorSys } from "../supervisor/client.ts";
import type { SupervisorConnection } from "../connection/connection.ts";
import { LaunchFailure, launchFailure } from "../supervisor/launch-failure.ts";
import { launchPayload, packPlan, waitsForStart } from "../supervisor/launch-messages.ts";
import { conditionOf, identify, isDead, runOf } from "../supervisor/process-facts.ts";
import { messageTypes, SupervisorFailure } from "../connection/protocol.ts";
import { endOrClose, withAbort } from "../connection/waits.ts";
import { directDescriptors, DirectProcess, endProcess, removePidFile, writePidFile } from "./direct-run.ts";
import { makeGate, removeGate } from "./gate.ts";
import { giveUpWhenChildStopped, killSupervisor, type ChildSys, type SupervisorChild } from "./supervisor-process.ts";

const discardLimitMs = 5000;
/** The kernel kills the stem when its supervisor has ended; how long that may take. */
const stemEndLimitMs = 1000;
const launchLimitMs = 120_000;

export class Prepared implements PreparedStem {
  readonly pid: number;
  readonly supervisorPid: number;
  readonly identity: RunIdentity | undefined;
  readonly #sys: ChildSys & SupervisorSys;
  readonly #connection: SupervisorConnection;
  readonly #supervisor: SupervisorChild;
  readonly #process: ProcessIdentity | undefined;
  #networkNamespaceFd: number | undefined;
  #used = false;

  constructor(
    sys: ChildSys & SupervisorSys,
    connection: SupervisorConnection,
    supervisor: SupervisorChild,
    pid: number,
    stem: LaunchPlan["stem"],
  ) {
    this.#sys = sys;
    this.#connection = connection;
    this.supervisorPid = supervisor.pid;
    this.#supervisor = supervisor;
    this.pid = pid;
    this.#process = identify(pid);
    // With a joined pid namespace, this process makes the container's process later.
    this.identity = stem.joinPidNamespace === undefined ? runOf(this.#process, supervisor.process) : undefined;
    const ownNetwork = stem.newNamespaces.includes("network");
    this.#networkNamespaceFd = ownNetwork ? sys.open(`/proc/${pid}/ns/net`, O_RDONLY | O_CLOEXEC) : undefined;
    void connection.closed.then(() => this.#closeNamespace());
  }

  get networkNamespaceFd(): number | undefined {
    return this.#networkNamespaceFd;
  }

  get usable(): boolean {
    return !this.#used && this.#alive;
  }

  get #alive(): boolean {
    return this.#connection.isOpen;
  }

  #closeNamespace(): void {
    if (this.#networkNamespaceFd === undefined) return;
    this.#sys.close(this.#networkNamespaceFd);
    this.#networkNamespaceFd = undefined;
  }

  async launch(request: LaunchRequest<SupervisedIo>, signal?: AbortSignal): Promise<Launched> {
    const { io, directory } = request;
    let pairs: AttachmentPairs = { local: [], remote: [] };
    const open = (sent: number[]): void => {
      pairs = openAttachments(this.#sys, io.attach.length);
      sent.push(...pairs.remote);
      if (io.log.kind === "descriptor") sent.push(this.#sys.dup(io.log.fd));
    };
    try {
      const { pid, startedAt } = await this.#execute(request, open, signal);
      const run = this.identity ?? runOf(identify(pid), this.#supervisor.process);
      const identity = { pid, supervisorPid: this.supervisorPid, startedAt, run };
      return {
        supervisor: new SupervisorClient(this.#sys, directory, identity, this.#connection),
        attachments: pairs.local,
      };
    } catch (error) {
      closeAll(
        this.#sys,
        pairs.local.map(({ fd }) => fd),
      );
      throw error;
    }
  }

  async launchDirect(request: LaunchRequest<DirectIo>, signal?: AbortSignal): Promise<DirectRun> {
    const { io, plan } = request;
    const { pid, startedAt } = await this.#executeDirect(request, signal);
    const process = this.identity?.process ?? identify(pid);
    const run = new DirectProcess({
      sys: this.#sys,
      directory: request.directory,
      supervisor: this.#supervisor,
      pid,
      process,
      startedAt,
    });
    let written = false;
    try {
      if (io.pidFile !== undefined) await writePidFile(io.pidFile, pid);
      written = true;
      await run.released();
      signal?.throwIfAborted();
      return run;
    } catch (error) {
      await endProcess(this.#sys, process);
      if (io.pidFile !== undefined && written) await removePidFile(io.pidFile, pid);
      await this.#kill();
      await settlesWithin(this.#supervisor.reaped, discardLimitMs);
      await rm(join(request.directory, "supervisor.sock"), { force: true });
      if (waitsForStart(plan)) removeGate(request.directory);
      throw signal?.aborted === true ? error : LaunchFailure.of("launch", error);
    }
  }

  async #executeDirect(
    request: LaunchRequest<DirectIo>,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly pid: number; readonly startedAt: string }> {
    const { io, plan, directory } = request;
    let gate: number | undefined;
    const open = (sent: number[]): void => {
      if (waitsForStart(plan)) gate = makeGate(this.#sys, directory);
      for (const fd of directDescriptors(io, plan, gate)) sent.push(this.#sys.dup(fd));
    };
    try {
      return await this.#execute(request, open, signal);
    } catch (error) {
      if (gate !== undefined) removeGate(directory);
      throw error;
    } finally {
      if (gate !== undefined) this.#sys.close(gate);
    }
  }

  /**
   * Has the plan executed.
   * @param open Adds the descriptors that come after the plan's; they are always closed here.
   */
  async #execute(
    request: LaunchRequest,
    open: (sent: number[]) => void,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly pid: number; readonly startedAt: string }> {
    const sent: number[] = request.rootFd === undefined ? [] : [request.rootFd];
    if (this.#used) {
      closeAll(this.#sys, sent);
      throw new EngineError("internal", "a prepared process can be launched once");
    }
    this.#used = true;
    let asked = false;
    let looks: ReturnType<typeof setInterval> | undefined;
    try {
      signal?.throwIfAborted();
      const plan = packPlan(this.#sys, encodePlan(request.plan));
      sent.push(...plan.fds);
      open(sent);
      sent.unshift(this.#sys.open(request.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      asked = true;
      const answer = this.#connection.request(messageTypes.launch, launchPayload(request, plan), sent, {
        deadlineMs: launchLimitMs,
      });
      looks = giveUpWhenChildStopped(this.#connection, this.supervisorPid);
      closeAll(this.#sys, sent.splice(0));
      const reader = new WireReader(
        await withAbort(answer, signal, () => killSupervisor(this.#sys, this.supervisorPid)),
      );
      const pid = reader.u32();
      const startedAt = reader.text();
      this.#closeNamespace();
      return { pid, startedAt };
    } catch (error) {
      closeAll(this.#sys, sent);
      // The process would continue without its supervisor.
      if (asked && request.io.kind === "direct") await endProcess(this.#sys, this.identity?.process);
      // A supervisor that rejected the request ends by itself. Any other may have launched the process, or may do so later.
      if (signal?.aborted === true || (asked && !(error instanceof SupervisorFailure))) await this.#kill();
      else await this.discard();
      if (request.io.kind === "direct") await settlesWithin(this.#supervisor.reaped, discardLimitMs);
      // After SIGKILL it could not remove its socket.
      await rm(join(request.directory, "supervisor.sock"), { force: true });
      throw signal?.aborted === true ? error : launchFailure(error, request.plan, "launch");
    } finally {
      clearInterval(looks);
    }
  }

  async discard(): Promise<void> {
    this.#used = true;
    this.#connection.finish();
    // It waits for its child's end; a child that hangs in the kernel must not block the caller for ever.
    await settlesWithin(this.#connection.closed, discardLimitMs);
    if (this.#alive) await this.#kill();
    this.#closeNamespace();
  }

  /** When the supervisor ends, the kernel kills the stem too; this waits a moment for the stem's end. */
  async #kill(): Promise<void> {
    if (this.#alive) killSupervisor(this.#sys, this.supervisorPid);
    const ended = await endOrClose(this.#connection);
    this.#closeNamespace();
    if (!ended) return;
    const stem = this.#process;
    for (let waitedMs = 0; stem !== undefined && waitedMs < stemEndLimitMs && !isDead(conditionOf(stem)); waitedMs += 2)
      await new Promise((resolve) => setTimeout(resolve, 2));
    // When the stem's supervisor has ended, the kernel gives the stem another parent. That may be this process, if it adopts orphans (as pid 1
    // of its namespace does).
    await settlesWithin(this.#supervisor.reaped, discardLimitMs);
    try {
      this.#sys.waitpid(this.pid);
    } catch (error) {
      if (!isSysError(error, "ECHILD")) throw error;
    }
  }
}
