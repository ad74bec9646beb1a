/** A running container as its supervisor shows it: the contract's Supervisor over one connection. */
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import { deferred, EngineError, formatRfc3339Nano, messageOf, type Deferred } from "@fathom/base";
import { isSysError, SOCK_STREAM, type Sys } from "@fathom/sys";
import type { Attachment, AttachOptions, ExecHandle, ExecRequest, ExitStatus, Supervisor } from "./contract.ts";
import { launchError } from "./launch-error.ts";
import { encodePlan, encodeStem } from "./plan-encoding.ts";
import type { SupervisorConnection } from "./supervisor-connection.ts";
import {
  attachFlags,
  inlinePlanLimitBytes,
  launchFlags,
  messageTypes,
  SupervisorFailure,
  type Message,
} from "./supervisor-protocol.ts";
import { WireReader, WireWriter } from "./wire.ts";

export type SupervisorSys = Pick<Sys, "socketpair" | "close" | "memfdCreate" | "sendMessage" | "setNonBlocking">;

/** Exit statuses of execs that came before anybody had asked for them. */
const unclaimedLimit = 256;

/** Name of the exit status in the container's directory. */
export const exitFileName = "exit";

/** The ends of attachments: `remote` go to the supervisor and are closed here, `local` belong to the caller. */
export interface AttachmentPairs {
  readonly local: readonly Attachment[];
  readonly remote: readonly number[];
}

export function openAttachments(sys: Pick<Sys, "socketpair" | "close">, count: number): AttachmentPairs {
  const local: Attachment[] = [];
  const remote: number[] = [];
  try {
    for (let index = 0; index < count; index++) {
      const [mine, theirs] = sys.socketpair(SOCK_STREAM, true);
      local.push({ fd: mine });
      remote.push(theirs);
    }
  } catch (error) {
    closeAll(sys, [...local.map(({ fd }) => fd), ...remote]);
    throw error;
  }
  return { local, remote };
}

export function closeAll(sys: Pick<Sys, "close">, fds: readonly number[]): void {
  for (const fd of fds) sys.close(fd);
}

export function attachMask(options: AttachOptions): number {
  return (
    (options.stdin ? attachFlags.stdin : 0) |
    (options.stdout ? attachFlags.stdout : 0) |
    (options.stderr ? attachFlags.stderr : 0) |
    (options.closeStdin ? attachFlags.closeStdin : 0)
  );
}

/** A plan as it travels: small ones inside the message, others as a memory file that the caller closes. */
export function packPlan(
  sys: Pick<Sys, "memfdCreate">,
  encoded: Uint8Array,
): { readonly inline: Uint8Array; readonly fds: readonly number[]; readonly flag: number } {
  if (encoded.length <= inlinePlanLimitBytes) return { inline: encoded, fds: [], flag: 0 };
  const fd = sys.memfdCreate("fathom-plan", encoded, true);
  return { inline: new Uint8Array(), fds: [fd], flag: launchFlags.planByDescriptor };
}

/** The exit status that a supervisor stored, undefined where there is none. */
export async function readExitFile(directory: string): Promise<ExitStatus | undefined> {
  try {
    const parsed: unknown = JSON.parse(await readFile(join(directory, exitFileName), "utf8"));
    if (typeof parsed !== "object" || parsed === null) return undefined;
    const { code, signal, finishedAt } = parsed as Record<string, unknown>;
    if (typeof code !== "number" || typeof signal !== "number" || typeof finishedAt !== "string") return undefined;
    return { code, signal, finishedAt };
  } catch {
    return undefined;
  }
}

function parseExit(reader: WireReader): ExitStatus {
  return { code: reader.u32(), signal: reader.u32(), finishedAt: reader.text() };
}

export interface SupervisorIdentity {
  readonly pid: number;
  readonly supervisorPid: number;
  readonly startedAt: string;
}

export class SupervisorClient implements Supervisor {
  readonly pid: number;
  readonly supervisorPid: number;
  readonly startedAt: string;
  readonly #sys: SupervisorSys;
  readonly #connection: SupervisorConnection;
  readonly #directory: string;
  readonly #exit = deferred<ExitStatus>();
  readonly #execs = new Map<string, Deferred<ExitStatus>>();
  readonly #unclaimed = new Map<string, ExitStatus>();
  #disconnected = false;

  constructor(sys: SupervisorSys, connection: SupervisorConnection, directory: string, identity: SupervisorIdentity) {
    this.#sys = sys;
    this.#connection = connection;
    this.#directory = directory;
    this.pid = identity.pid;
    this.supervisorPid = identity.supervisorPid;
    this.startedAt = identity.startedAt;
    connection.onMessage = (message) => this.receive(message);
    void connection.closed.then(() => this.#lost());
  }

  get exit(): Promise<ExitStatus> {
    return this.#exit.promise;
  }

  /** What the supervisor says unasked. */
  receive(message: Message): void {
    const reader = new WireReader(message.payload);
    if (message.type === messageTypes.exit) {
      this.#exit.resolve(parseExit(reader));
      return;
    }
    if (message.type !== messageTypes.execExit) return;
    const id = reader.text();
    const status = parseExit(reader);
    const waiting = this.#execs.get(id);
    if (waiting !== undefined) {
      this.#execs.delete(id);
      waiting.resolve(status);
      return;
    }
    this.#unclaimed.set(id, status);
    for (const first of this.#unclaimed.keys()) {
      if (this.#unclaimed.size <= unclaimedLimit) break;
      this.#unclaimed.delete(first);
    }
  }

  async attach(options: AttachOptions): Promise<Attachment> {
    const pairs = openAttachments(this.#sys, 1);
    const payload = new WireWriter().text("").u32(attachMask(options)).finish();
    const answer = this.#request(messageTypes.attach, payload, pairs.remote, "attaching to the container");
    closeAll(this.#sys, pairs.remote);
    try {
      await answer;
    } catch (error) {
      closeAll(
        this.#sys,
        pairs.local.map(({ fd }) => fd),
      );
      throw error;
    }
    return pairs.local[0]!;
  }

  async exec(request: ExecRequest): Promise<ExecHandle> {
    const { execId, plan, openStdin, attach } = request;
    const plannedBytes = packPlan(this.#sys, encodePlan(plan));
    const pairs = openAttachments(this.#sys, attach.length);
    const exit = deferred<ExitStatus>();
    this.#execs.set(execId, exit);
    const writer = new WireWriter(4096 + plannedBytes.inline.length);
    writer.text(execId).u32((openStdin ? launchFlags.openStdin : 0) | plannedBytes.flag);
    encodeStem(writer, plan.stem);
    writer.list(attach, (options) => writer.u32(attachMask(options))).bytes(plannedBytes.inline);
    const sent = [...plannedBytes.fds, ...pairs.remote];
    const answer = this.#connection.request(messageTypes.exec, writer.finish(), sent);
    closeAll(this.#sys, sent);
    try {
      const reader = new WireReader(await answer);
      return { execId, pid: reader.u32(), attachments: pairs.local, exit: exit.promise };
    } catch (error) {
      this.#execs.delete(execId);
      closeAll(
        this.#sys,
        pairs.local.map(({ fd }) => fd),
      );
      throw launchError(error, plan, "exec");
    }
  }

  async signal(signal: number, execId = ""): Promise<void> {
    const payload = new WireWriter().text(execId).u32(signal).finish();
    await this.#request(messageTypes.signal, payload, [], `signal ${signal}`);
  }

  async resize(rows: number, columns: number, execId = ""): Promise<void> {
    const payload = new WireWriter().text(execId).u32(rows).u32(columns).finish();
    await this.#request(messageTypes.resize, payload, [], "resizing the terminal");
  }

  async start(): Promise<void> {
    await this.#request(messageTypes.start, new Uint8Array(), [], "starting the created process");
  }

  async reopenLog(): Promise<void> {
    await this.#request(messageTypes.reopenLog, new Uint8Array(), [], "reopening the log");
  }

  disconnect(): void {
    this.#disconnected = true;
    this.#connection.close();
  }

  async #request(type: number, payload: Uint8Array, fds: readonly number[], action: string): Promise<void> {
    try {
      await this.#connection.request(type, payload, fds);
    } catch (error) {
      if (!(error instanceof SupervisorFailure)) throw error;
      const ESRCH = 3;
      const EALREADY = 114;
      const code = error.errno === ESRCH || error.errno === EALREADY ? "conflict" : "internal";
      throw new EngineError(code, `${action}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** The connection's end without a word of the exit: stored on disk, or the supervisor was killed. */
  async #lost(): Promise<void> {
    const status: ExitStatus = (this.#disconnected ? undefined : await readExitFile(this.#directory)) ?? {
      code: 255,
      signal: 0,
      finishedAt: formatRfc3339Nano(BigInt(Date.now()) * 1_000_000n),
      lost: "supervisor was killed",
    };
    if (this.#disconnected) return;
    this.#exit.resolve(status);
    for (const waiting of this.#execs.values()) waiting.resolve({ ...status, code: 255 });
    this.#execs.clear();
  }
}

/** True for "no such file" and "nobody listens": a directory whose supervisor has ended. */
export function isNobodyThere(error: unknown): boolean {
  return isSysError(error, "ENOENT", "ECONNREFUSED", "ENOTDIR");
}
