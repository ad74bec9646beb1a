/** A supervisor that SIGKILL does not end, as in an uninterruptible call of the kernel: nobody waits for it without limit. */
import { expect, test } from "bun:test";
import { createSys, SOCK_STREAM } from "@fathom/sys";
import { SupervisorConnection } from "../connection/connection.ts";
import { conditionOf, identify } from "../supervisor/process-facts.ts";
import { createLauncher, type LauncherSys } from "./launcher.ts";
import { Prepared } from "./prepared-stem.ts";

const sys = createSys();
const stem = { newNamespaces: [], cgroupProcs: [] } as const;

test("a prepare without an answer ends, and so does a dropped stem", async () => {
  const supervisor = Bun.spawn(["sleep", "1000"]);
  const held: number[] = [];
  const stuck: LauncherSys = {
    ...sys,
    spawn: ({ fds }) => {
      held.push(sys.dup(fds[3]!));
      return supervisor.pid;
    },
    kill: () => undefined,
    waitpid: () => undefined,
  };
  const process = identify(supervisor.pid)!;
  /** A connection whose other end stays open and does not answer. */
  const connection = (): SupervisorConnection => {
    const [mine, theirs] = sys.socketpair(SOCK_STREAM, true);
    held.push(theirs);
    return new SupervisorConnection(sys, mine);
  };
  const prepared = (): Prepared => {
    const reaped = Promise.withResolvers<void>().promise;
    const child = { pid: supervisor.pid, process, reaped };
    return new Prepared(stuck, connection(), child, globalThis.process.pid, stem);
  };
  try {
    supervisor.kill("SIGSTOP");
    while (conditionOf(process).kind !== "stopped") await Bun.sleep(1);
    const launcher = createLauncher({ sys: stuck, executable: () => 0 });
    const dropped = prepared();
    await Promise.all([
      expect(launcher.prepare(stem)).rejects.toMatchObject({ code: "unavailable" }),
      dropped.discard(),
    ]);
    expect(dropped.usable).toBe(false);
  } finally {
    supervisor.kill("SIGKILL");
    for (const fd of held) sys.close(fd);
  }
}, 60_000);
