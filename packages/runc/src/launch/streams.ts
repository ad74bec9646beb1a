/** The standard streams and descriptors of a new process: those of this call, a console socket, or a terminal that this call copies. */
import { fstatSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { EngineError, messageOf } from "@fathom/base";
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY, SOCK_STREAM, type Sys } from "@fathom/sys";
import type { DirectIo } from "@fathom/runtime";
import type { Flags } from "../command-line/parse.ts";
import { copyTerminal, type TerminalCopy } from "./terminal.ts";

export interface StreamRequest {
  readonly terminal: boolean;
  /** The call ends before the process. */
  readonly detach: boolean;
  readonly consoleSocket: string | undefined;
  readonly preserved: number;
  readonly pidFile: string | undefined;
}

export interface Streams extends Disposable {
  readonly io: DirectIo;
  /** Begins to copy a terminal, when this call has to. After the launch. */
  follow(): TerminalCopy | undefined;
}

export function streamRequest(flags: Flags, terminal: boolean, detach: boolean): StreamRequest {
  return {
    terminal,
    detach,
    consoleSocket: flags.text("console-socket"),
    preserved: flags.wholeNumber("preserve-fds") ?? 0,
    pidFile: flags.text("pid-file"),
  };
}

type StreamSys = Pick<
  Sys,
  "open" | "close" | "connectUnix" | "socketpair" | "receiveMessage" | "read" | "write" | "setNonBlocking"
>;

/** Descriptors that a service manager passed (LISTEN_FDS of sd_listen_fds(3)) come after the standard streams, too. */
export function listenedDescriptors(): number {
  const count = Number(process.env["LISTEN_FDS"] ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** @throws invalid-argument for a combination that runc refuses, or a descriptor that this call does not have */
export function openStreams(sys: StreamSys, request: StreamRequest): Streams {
  const { terminal, detach, consoleSocket, pidFile } = request;
  if (terminal && detach && consoleSocket === undefined)
    throw new EngineError("invalid-argument", "cannot allocate tty if runc will detach without setting console socket");
  if ((!terminal || !detach) && consoleSocket !== undefined)
    throw new EngineError("invalid-argument", "cannot use console socket if runc will not detach or allocate tty");
  const count = request.preserved + listenedDescriptors();
  const preservedFds = Array.from({ length: count }, (_, index) => 3 + index);
  for (const fd of preservedFds) checkOpen(fd);
  const rest = { preservedFds, ...(pidFile === undefined ? {} : { pidFile: absolute(pidFile) }) };
  const own: number[] = [];
  const done = { [Symbol.dispose]: () => own.splice(0).forEach((fd) => sys.close(fd)) };
  if (!terminal)
    return {
      io: { kind: "direct", streams: { kind: "inherited", stdin: 0, stdout: 1, stderr: 2 }, ...rest },
      follow: () => undefined,
      ...done,
    };
  if (consoleSocket !== undefined) {
    const socketFd = connectTo(sys, consoleSocket);
    own.push(socketFd);
    return {
      io: { kind: "direct", streams: { kind: "console", socketFd }, ...rest },
      follow: () => undefined,
      ...done,
    };
  }
  const [mine, theirs] = sys.socketpair(SOCK_STREAM, true);
  own.push(mine, theirs);
  return {
    io: { kind: "direct", streams: { kind: "console", socketFd: theirs }, ...rest },
    follow() {
      const master = sys.receiveMessage(mine, 64)?.fds[0];
      return master === undefined ? undefined : copyTerminal(sys, master);
    },
    ...done,
  };
}

function absolute(path: string): string {
  return path.startsWith("/") ? path : `${process.cwd()}/${path}`;
}

function checkOpen(fd: number): void {
  try {
    fstatSync(fd);
  } catch (error) {
    throw new EngineError("invalid-argument", `please check that preserved-fd ${fd} is open: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function connectTo(sys: StreamSys, path: string): number {
  let directory: number | undefined;
  try {
    if (!statSync(path).isSocket()) throw new Error("it is not a socket");
    directory = sys.open(dirname(absolute(path)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return sys.connectUnix(directory, basename(path));
  } catch (error) {
    throw new EngineError("invalid-argument", `the console socket ${path}: ${messageOf(error)}`, { cause: error });
  } finally {
    if (directory !== undefined) sys.close(directory);
  }
}
