import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { O_CLOEXEC, O_RDONLY } from "../constants.ts";
import { createSys } from "../create-sys.ts";
import { processEnd } from "./process-end.ts";
import { until } from "@fathom/base/testing";

const sys = createSys();
const never = new AbortController().signal;
const fds = (): number => readdirSync("/proc/self/fd").length;

/** Only the test knows about it or holds a descriptor of it. */
function spawn(...argv: string[]): number {
  using open = new DisposableStack();
  const executableFd = open.adopt(sys.open(`/bin/${argv[0]}`, O_RDONLY | O_CLOEXEC), sys.close);
  return sys.spawn({ executableFd, argv, env: [], fds: [-1, -1, -1], newSession: false });
}

async function reap(pid: number): Promise<void> {
  sys.kill(pid, 9);
  await until("it is reaped", () => sys.waitpid(pid) !== undefined);
}

test("resolves at the end of a process and not before, and closes the descriptor", async () => {
  const child = spawn("sleep", "1000");
  const before = fds();
  let ended = false;
  const end = processEnd(sys, sys.pidfdOpen(child), never).then(() => (ended = true));
  // Many turns of the loop, in which it could settle.
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect([ended, fds()]).toEqual([false, before + 1]);
  sys.kill(child, 9);
  await end;
  await until("the descriptor is closed", () => fds() === before);
  await reap(child);
});

test("for a process that has ended already", async () => {
  const child = spawn("true");
  const pidfd = sys.pidfdOpen(child);
  await until("it is a zombie", () => existsSync(`/proc/${child}`) && !existsSync(`/proc/${child}/exe`));
  await processEnd(sys, pidfd, never);
  sys.waitpid(child);
});

test("after an abort it releases its descriptor", async () => {
  const child = spawn("sleep", "1000");
  const before = fds();
  const abort = new AbortController();
  const end = processEnd(sys, sys.pidfdOpen(child), abort.signal);
  abort.abort(new Error("enough"));
  await expect(end).rejects.toThrow("enough");
  await expect(processEnd(sys, sys.pidfdOpen(child), abort.signal)).rejects.toThrow("enough");
  await until("the descriptors are closed", () => fds() === before);
  await reap(child);
});
