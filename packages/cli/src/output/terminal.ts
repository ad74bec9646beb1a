/**
 * Connects this process's terminal to a hijacked stream: raw mode while attached, changes of the window size, stdin until it ends, output as it
 * arrives. At the end the terminal always has its old mode.
 */
import { demultiplex, type Client, type HijackedStream } from "@fathom/client";
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { PlainError, ReaderGoneError } from "../grammar/plain-error.ts";
import { isErrno } from "@fathom/base";

/** Writes all of `data` to a descriptor. Another program may have made the descriptor non-blocking. */
export function writeAll(fd: number, data: Uint8Array): void {
  let offset = 0;
  while (offset < data.length) {
    try {
      offset += writeSync(fd, data, offset);
    } catch (error) {
      if (isErrno(error, "EPIPE")) throw new ReaderGoneError("the reader of the output has ended", { cause: error });
      if (!isErrno(error, "EAGAIN")) throw error;
      Bun.sleepSync(1);
    }
  }
}

export interface StreamOptions {
  readonly stream: HijackedStream;
  readonly tty: boolean;
  /** Copy this process's stdin. */
  readonly stdin: boolean;
  /** Sends the size of this terminal to the daemon, now and whenever it changes. */
  readonly resize: (rows: number, columns: number) => Promise<unknown>;
}

/** Copies in both directions until the process's output ends. @throws ReaderGoneError */
export async function copyStreams(options: StreamOptions): Promise<void> {
  const { stream, tty } = options;
  const restore = options.tty && options.stdin && process.stdin.isTTY === true ? enterRawMode() : () => undefined;
  const stopSizes = tty && process.stdout.isTTY === true ? followWindowSize(options.resize) : () => undefined;
  const stopInput = options.stdin ? copyInput(stream) : () => undefined;
  try {
    if (tty) for await (const chunk of stream.output) writeAll(1, chunk);
    else for await (const { stream: number, data } of demultiplex(stream.output)) writeAll(number === 2 ? 2 : 1, data);
  } finally {
    stopInput();
    stopSizes();
    restore();
    stream.close();
  }
}

function enterRawMode(): () => void {
  process.stdin.setRawMode(true);
  // The runtime's raw mode still turns "\n" into "\r\n" on output, but the container's terminal has already done that. Programs that move the
  // cursor down with a bare line feed would draw wrongly, so stty turns it off. Without stty it stays on.
  if (Bun.which("stty") !== null)
    Bun.spawnSync(["stty", "-opost"], { stdin: "inherit", stdout: "ignore", stderr: "ignore" });
  const restore = (): void => void process.stdin.setRawMode(false);
  process.once("exit", restore);
  return () => {
    process.off("exit", restore);
    restore();
  };
}

function followWindowSize(resize: StreamOptions["resize"]): () => void {
  const send = (): void => {
    const { rows, columns } = process.stdout;
    // The process may not have started yet, or has just ended: a failed resize is no reason to fail.
    void resize(rows, columns).catch(() => undefined);
  };
  send();
  // A size that arrives before the process has its terminal is lost. Sending it once more shortly after is enough.
  const again = setTimeout(send, 100);
  process.on("SIGWINCH", send);
  return () => {
    clearTimeout(again);
    process.off("SIGWINCH", send);
  };
}

function copyInput(stream: HijackedStream): () => void {
  return isatty(0) ? copyTyped(stream) : copyBytes(stream);
}

/** For a pipe or a file. It is read in pieces: `process.stdin` does not report the end when it is paused at that moment. */
function copyBytes(stream: HijackedStream): () => void {
  let cancel = (): void => undefined;
  let stopped = false;
  const copy = async (): Promise<void> => {
    try {
      const reader = Bun.stdin.stream().getReader();
      cancel = () => void reader.cancel().catch(() => undefined);
      for (let { done, value } = await reader.read(); !done && !stopped; { done, value } = await reader.read())
        await stream.write(value!);
    } catch {
      // An input that cannot be read, for example a folder, counts as ended.
    }
    if (!stopped) stream.end();
  };
  void copy();
  return () => {
    stopped = true;
    cancel();
  };
}

function copyTyped(stream: HijackedStream): () => void {
  let pending = Promise.resolve();
  let stopped = false;
  const onData = (chunk: Buffer): void => {
    process.stdin.pause();
    pending = pending
      .then(() => stream.write(chunk))
      .then(() => {
        // Nobody reads the input any more. An endless input would keep this program running.
        if (!stopped) process.stdin.resume();
      });
  };
  const onEnd = (): void => void pending.then(() => stream.end());
  process.stdin.on("data", onData);
  process.stdin.on("end", onEnd);
  process.stdin.on("error", onEnd);
  process.stdin.resume();
  return () => {
    stopped = true;
    process.stdin.off("data", onData);
    process.stdin.off("end", onEnd);
    process.stdin.pause();
    process.stdin.unref();
  };
}

const proxied = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT"] as const;

/** Forwards signals of this process to the container while it is attached. */
export function proxySignals(client: Client, id: string): () => void {
  const handlers = proxied.map((name) => {
    const handler = (): void =>
      void client.send("POST", `/containers/${id}/kill`, { query: { signal: name } }).catch(() => undefined);
    process.on(name, handler);
    return [name, handler] as const;
  });
  return () => {
    for (const [name, handler] of handlers) process.off(name, handler);
  };
}

/** Size of this terminal, for ConsoleSize: [rows, columns]. */
export function terminalSize(): readonly [number, number] | undefined {
  return process.stdout.isTTY === true ? [process.stdout.rows, process.stdout.columns] : undefined;
}

/** docker rejects -t when the input is no terminal. */
export function requireTerminal(tty: boolean, stdin: boolean): void {
  if (tty && stdin && process.stdin.isTTY !== true) throw new PlainError("the input device is not a TTY");
}
