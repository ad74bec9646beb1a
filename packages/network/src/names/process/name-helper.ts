/**
 * The process with the resolvers of all containers. It outlives the daemon that started it, so names work while no daemon runs; the next daemon
 * connects to it again. It ends when no container needs it any more.
 */
import { rmSync } from "node:fs";
import { basename, dirname } from "node:path";
import { createServer, type Socket } from "node:net";
import { messageOf, startTimer, systemClock } from "@fathom/base";
import { createNameServer, type NameServerSys } from "../name-server.ts";
import { LineReader, readCall, type Call, type Result } from "./messages.ts";

/** Without a container it waits so long for the next one. */
const idleMs = 15_000;
/** Longer than a question to other servers takes. */
const retireMs = 5000;

export interface NameHelperOptions {
  readonly sys: NameServerSys;
  /** The path where it listens. Nothing else is there, and only root can reach it. */
  readonly socket: string;
  /** Called after each call, to release memory that the call needed. */
  readonly onActivity?: () => void;
  readonly idleMs?: number;
}

/** Resolves when the process should end. */
export async function runNameHelper({
  sys,
  socket: path,
  onActivity = () => undefined,
  idleMs: patienceMs = idleMs,
}: NameHelperOptions): Promise<void> {
  const names = createNameServer(sys, { clock: systemClock });
  const ended = Promise.withResolvers<void>();
  let stopIdle = (): void => undefined;
  const lookIdle = (): void => {
    stopIdle();
    if (names.served === 0) stopIdle = startTimer(ended.resolve, patienceMs);
  };
  const answer = async (call: Call): Promise<readonly string[]> => {
    switch (call.call) {
      case "restore":
        return names.restore(() => ({ ...call.state, [Symbol.dispose]: () => undefined }));
      case "serve":
        return names.serve(call.container);
      case "set-endpoint":
        await names.setEndpoint(call.endpoint);
        return [];
      case "remove-endpoint":
        await names.removeEndpoint(call.endpointId);
        return [];
      case "release":
        await names.release(call.containerId);
        return [];
      case "end":
        ended.resolve();
        return [];
      case "retire":
        startTimer(ended.resolve, retireMs);
        return [];
    }
  };
  const serve = (socket: Socket): void => {
    const lines = new LineReader();
    let last: Promise<void> = Promise.resolve();
    const work = async (line: string): Promise<void> => {
      let result: Result;
      try {
        result = { warnings: await answer(readCall(line)) };
      } catch (error) {
        result = { error: messageOf(error) };
      }
      lookIdle();
      onActivity();
      if (!socket.destroyed) socket.write(`${JSON.stringify(result)}\n`);
    };
    socket.setEncoding("utf8");
    socket.on("data", (chunk) => {
      for (const line of lines.push(String(chunk))) last = last.then(() => work(line));
    });
    // The daemon has ended; its containers are still served.
    socket.on("error", () => undefined);
  };
  const server = createServer(serve);
  server.on("error", ended.reject);
  // The path of a socket may have only about a hundred bytes.
  process.chdir(dirname(path));
  server.listen({ path: basename(path) });
  lookIdle();
  await ended.promise;
  // While it still listens: nobody starts another helper as long as this one can be reached, so the file is its own.
  rmSync(path, { force: true });
}
