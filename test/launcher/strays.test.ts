/**
 * A daemon is killed while its supervisors, or the processes that they make, are stopped. The next daemon with the same state ends what nobody
 * will launch, and nothing else: no running containers, nothing that another daemon made, nothing of its own.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createLauncher, type RunIdentity } from "@fathom/runtime";
import { helperExecutable } from "@fathom/sys";
import { plan, Rig, sys } from "./rig.ts";
import type { StraysCall, StraysReport } from "./strays-caller.ts";
import { isAlive, until } from "@fathom/base/testing";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

const executable = (): number => helperExecutable(sys);
const lives = ({ process, supervisor }: RunIdentity): [boolean, boolean] => [
  isAlive(process.pid),
  isAlive(supervisor.pid),
];

test("the next daemon ends stems of the previous one whose supervisors are stopped, and a launch that is stopped; nothing else", async () => {
  const state = join(rig.base, "state");
  const otherState = join(rig.base, "other-state");
  mkdirSync(state);
  mkdirSync(otherState);
  const { rootfs, at } = rig;
  const call: StraysCall = {
    rootfs,
    at,
    state,
    otherState,
    claimed: rig.directory(),
    launched: rig.directory(),
    standing: rig.directory(),
  };
  const daemon = Bun.spawn([process.execPath, join(import.meta.dir, "strays-caller.ts"), JSON.stringify(call)], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await daemon.stdout.getReader().read();
  const made: StraysReport = JSON.parse(new TextDecoder().decode(value));
  daemon.kill("SIGKILL");
  await daemon.exited;
  try {
    expect(Object.values(made).map(lives)).toEqual(Object.values(made).map(() => [true, true]));

    const strays: number[] = [];
    const options = { sys, executable, stateDirectory: state };
    const launcher = createLauncher({ ...options, onStray: ({ pid }) => void strays.push(pid) });
    const own = await launcher.prepare(plan(rig, ["true"]).stem);
    const known = (identity: RunIdentity) => ({ identity, pid: identity.process.pid, startedAt: "" });
    expect(await launcher.reconnect(call.claimed, known(made.claimed))).toEqual({ kind: "gone" });
    expect(strays.toSorted()).toEqual([made.ready.supervisor.pid, made.claimed.supervisor.pid].toSorted());
    expect(lives(made.ready)).toEqual([false, false]);
    expect(lives(made.claimed)).toEqual([false, false]);

    expect(await launcher.reconnect(call.standing, known(made.standing))).toEqual({ kind: "gone" });
    expect(lives(made.standing)).toEqual([false, false]);

    const found = await launcher.reconnect(call.launched, known(made.launched));
    if (found.kind !== "running") throw new Error(found.kind);
    expect(lives(made.launched)).toEqual([true, true]);
    expect(lives(made.other)).toEqual([true, true]);
    expect(lives(made.unmarked)).toEqual([true, true]);
    expect(own.usable).toBe(true);
    // A launcher in the same process does not end its own child.
    sys.kill(own.identity!.supervisor.pid, 19);
    const again = createLauncher({ ...options, onStray: ({ pid }) => void strays.push(pid) });
    await again.reconnect(rig.directory());
    expect(strays).toHaveLength(2);
    expect(lives(own.identity!)).toEqual([true, true]);
    sys.kill(own.identity!.supervisor.pid, 18);
    await own.discard();

    await found.supervisor.signal(9);
    expect((await found.supervisor.exit).code).toBe(137);
  } finally {
    for (const { supervisor } of Object.values(made)) if (isAlive(supervisor.pid)) sys.kill(supervisor.pid, 9);
  }
  for (const run of Object.values(made))
    await until("it has ended", () => !isAlive(run.process.pid) && !isAlive(run.supervisor.pid));
}, 60_000);
