/** The part of the launcher's suite about failed launches and execs: the failure's values, and that nothing is left. */
import { expect } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { randomId } from "@fathom/base";
import type { DirectIo, LaunchRequest } from "../contract.ts";
import type { Operation } from "../plan/plan.ts";
import { end, failure, launch, outputs, suitePrograms, supervised, type testsOf } from "./launcher-under-test.ts";

export function launchFailureSuite(it: ReturnType<typeof testsOf>): void {
  it("a stem that cannot join its cgroup fails before the launch, and nothing is left", async ({ launcher, plan }) => {
    const { newNamespaces } = plan(suitePrograms.runs).stem;
    const prepared = launcher.prepare({ newNamespaces, cgroupProcs: ["/nowhere/cgroup.procs"] });
    const error = await failure(prepared);
    expect(error).toMatchObject({ stage: "stem", operation: undefined, errno: 2, code: "internal" });
    expect(error.call).not.toBe("");
  });

  const refusals = [
    [suitePrograms.missing, "executable-not-found", 2],
    [suitePrograms.noProgram, "not-executable", 21],
  ] as const;
  for (const [argv, code, errno] of refusals) {
    const value = { stage: "launch", code, errno, path: argv[0], operation: { kind: "exec" } };

    it(`${argv[0]} is ${code}, and nothing is left`, async (under) => {
      const { launcher, plan, directory } = under;
      const whole = plan(argv);
      const io = supervised({ attach: [outputs] });
      const at = directory();
      const stem = await launcher.prepare(whole.stem);
      expect(await failure(stem.launch({ plan: whole, directory: at, io }))).toMatchObject(value);
      expect(stem.usable).toBe(false);
      expect(await launcher.reconnect(at)).toEqual({ kind: "gone" });
      const direct = await launcher.prepare(whole.stem);
      const { streams, output } = under.inheritable();
      const pidFile = join(at, "pid");
      const request: LaunchRequest<DirectIo> = { plan: whole, directory: at, io: { kind: "direct", streams, pidFile } };
      expect(await failure(direct.launchDirect(request))).toMatchObject(value);
      expect(existsSync(pidFile)).toBe(false);
      expect(await output()).toBe("");
    });

    it(`an exec of ${argv[0]} is ${code}, and its container keeps running`, async (under) => {
      const launched = await launch(under, suitePrograms.runs);
      const plan = under.execPlan(argv);
      const exec = launched.supervisor.exec({ execId: randomId(), plan, openStdin: true, attach: [outputs] });
      expect(await failure(exec)).toMatchObject(value);
      await end(launched);
    });
  }

  it("an operation that fails is in the failure, with its path and errno", async ({ launcher, plan, directory }) => {
    const gone: Operation = { kind: "working-directory", path: "/nowhere/at/all", create: false };
    const whole = plan(suitePrograms.runs, { operations: [gone] });
    const stem = await launcher.prepare(whole.stem);
    const error = await failure(stem.launch({ plan: whole, directory: directory(), io: supervised() }));
    expect(error).toMatchObject({ stage: "launch", operation: gone, path: "/nowhere/at/all", errno: 2 });
    expect(error.call).not.toBe("");
  });

  it("an abort rejects with its reason, and leaves nothing", async ({ launcher, plan, directory }) => {
    const whole = plan(suitePrograms.runs);
    const reason = new Error("changed my mind");
    await expect(launcher.prepare(whole.stem, AbortSignal.abort(reason))).rejects.toBe(reason);
    const stem = await launcher.prepare(whole.stem);
    const at = directory();
    const launched = stem.launch({ plan: whole, directory: at, io: supervised() }, AbortSignal.abort(reason));
    await expect(launched).rejects.toBe(reason);
    expect(stem.usable).toBe(false);
    expect(await launcher.reconnect(at)).toEqual({ kind: "gone" });
  });
}
