/** Attach and logs: the streams of a container's first process, present, future and from its log. */
import { EngineError, deferred } from "@fathom/base";
import { dirname } from "node:path";
import type { Attachment } from "@fathom/runtime";
import type { Container, PendingAttach } from "../container.ts";
import { mustRun, publish, type ContainersContext } from "../context.ts";
import { NotReady } from "../lifecycle/not-ready.ts";
import { ContainerProblem } from "../problem.ts";
import { streamFor, type StreamAttachment, type StreamSelection } from "./attachment.ts";
import { detachKeysOf } from "./detach-keys.ts";
import { streamLog, type LogDamage, type LogFollower, type LogSelection } from "../logs/log-stream.ts";

/** Clients that wait for a start. Each needs a descriptor in the message to the supervisor, which can carry 253. */
const pendingLimit = 200;
/** How often a follower with an end time checks the clock. */
const longestLookMs = 10_000;

export interface AttachRequest extends StreamSelection {
  /** undefined when the client has chosen none: then the keys of the start apply, if it named some. */
  readonly detachKeys: Uint8Array | undefined;
}

export interface AttachResult {
  readonly tty: boolean;
  /** Old output, framed like the stream; present with `logs`. */
  readonly logs: AsyncIterable<Uint8Array> | undefined;
  /**
   * Present with `stream`. When the container does not run, it is pending: it resolves when the container starts (every client sends attach
   * before start), or to undefined when the container is removed or the signal aborts.
   */
  readonly stream: Promise<StreamAttachment | undefined> | undefined;
}

export async function attachContainer(
  engine: ContainersContext,
  container: Container,
  request: AttachRequest,
  signal: AbortSignal,
): Promise<AttachResult> {
  const tty = container.record.spec.terminal;
  if (container.paused) throw new NotReady(container, "attach", "paused");
  if (container.record.state.status === "restarting") throw new NotReady(container, "attach", "restarting");
  if (request.stream && container.process === undefined && container.pendingAttach.size >= pendingLimit)
    throw new EngineError(
      "unavailable",
      `${pendingLimit} clients wait for the start of container ${container.id}, and no more can: start it, or attach when it runs`,
    );
  const logPath = request.logs ? engine.logs.readable(container.record) : undefined;
  if (request.logs && logPath === undefined) throw new ContainerProblem({ kind: "log-not-readable", id: container.id });
  publish(engine, container, "attach");
  // First the stream is opened, then the log is read up to where it ends. Output in between is in both.
  const opening = request.stream ? openStream(engine, container, request, signal) : undefined;
  // For a running container it is known at once whether there will be a stream, while the client can still get an error.
  // Nobody may await it yet, because a client reads the log first.
  opening?.catch(() => undefined);
  const stream = container.process === undefined || opening === undefined ? opening : Promise.resolve(await opening);
  const logs =
    logPath === undefined
      ? undefined
      : streamLog(
          logPath,
          {
            stdout: request.stdout,
            stderr: request.stderr,
            tail: "all",
            since: undefined,
            until: undefined,
            timestamps: false,
            details: false,
            tty,
          },
          undefined,
          signal,
          reportDamage(engine, container),
        );
  return { tty, logs, stream };
}

async function openStream(
  engine: ContainersContext,
  container: Container,
  request: AttachRequest,
  signal: AbortSignal,
): Promise<StreamAttachment | undefined> {
  const { spec } = container.record;
  const pending: PendingAttach = {
    options: {
      stdin: request.stdin && spec.stdin !== "none",
      stdout: request.stdout,
      stderr: request.stderr,
      closeStdin: spec.stdin === "once" && !spec.terminal,
    },
    signal,
    started: deferred<Attachment | undefined>(),
  };
  const { process } = container;
  if (process !== undefined) pending.started.resolve(await process.supervisor.attach(pending.options));
  else {
    container.pendingAttach.add(pending);
    signal.addEventListener(
      "abort",
      () => {
        // After a launch has taken the stream, the client must close it.
        if (container.pendingAttach.delete(pending)) pending.started.resolve(undefined);
      },
      { once: true },
    );
  }
  return streamFor(engine.sys, await pending.started.promise, signal, {
    tty: spec.terminal,
    detachKeys: detachKeysOf(spec.terminal, request.detachKeys ?? container.process?.detachKeys),
    detached: () => publish(engine, container, "detach"),
  });
}

export interface LogsRequest extends Omit<LogSelection, "tty"> {
  readonly follow: boolean;
}

export function containerLogs(
  engine: ContainersContext,
  container: Container,
  request: LogsRequest,
  signal: AbortSignal,
): { readonly tty: boolean; readonly stream: AsyncIterable<Uint8Array> } {
  if (!request.stdout && !request.stderr) throw new ContainerProblem({ kind: "no-log-stream" });
  const path = engine.logs.readable(container.record);
  if (path === undefined) throw new ContainerProblem({ kind: "log-not-readable", id: container.id });
  const tty = container.record.spec.terminal;
  const { follow, ...selection } = request;
  if (!follow || container.process === undefined)
    return {
      tty,
      stream: streamLog(path, { ...selection, tty }, undefined, signal, reportDamage(engine, container)),
    };
  return { tty, stream: followLog(engine, container, path, { ...selection, tty }, signal) };
}

function reportDamage(engine: ContainersContext, container: Container): (damage: LogDamage) => void {
  return (damage) =>
    engine.logger.warn("a log is damaged: what is no record was skipped, as after a power cut", {
      id: container.id,
      ...damage,
    });
}

/** Follows until the present run has ended and all of its output was read. */
async function* followLog(
  engine: ContainersContext,
  container: Container,
  path: string,
  selection: LogSelection,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const process = mustRun(container);
  using watch = engine.logWatch.watch(dirname(path));
  let alive = true;
  void process.ended.promise.finally(() => {
    alive = false;
    watch.wake();
  });
  const { until } = selection;
  // Checked again and again, because somebody may set the clock.
  const look = (): void => {
    if (until === undefined) return;
    const leftMs = Number((until - engine.clock.nowNs()) / 1_000_000n);
    if (leftMs > 0) timer = setTimeout(look, Math.min(leftMs + 1, longestLookMs));
    else {
      alive = false;
      watch.wake();
    }
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  look();
  const follower: LogFollower = { alive: () => alive, changed: (abort) => watch.changed(abort) };
  try {
    yield* streamLog(path, selection, follower, signal, reportDamage(engine, container));
  } finally {
    clearTimeout(timer);
  }
}
