/** The part of the launcher's suite about launches without a supervisor. */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DirectIo, LaunchRequest } from "../contract.ts";
import { SIGKILL, SIGTERM, suitePrograms, type testsOf } from "./launcher-under-test.ts";

export function directLaunchSuite(it: ReturnType<typeof testsOf>): void {
  it("a direct launch has its caller's streams and a pid file, and its caller sees its end", async (under) => {
    const { launcher, plan, directory } = under;
    const whole = plan(suitePrograms.prints);
    const at = directory();
    const { streams, output } = under.inheritable();
    const stem = await launcher.prepare(whole.stem);
    const pidFile = join(at, "pid");
    const run = await stem.launchDirect({ plan: whole, directory: at, io: { kind: "direct", streams, pidFile } });
    expect(readFileSync(pidFile, "utf8")).toBe(String(run.pid));
    expect(await run.wait()).toMatchObject({ code: 0, signal: 0 });
    expect(await output()).toContain("to-out\n");
    expect(() => run.signal(SIGTERM)).toThrow(expect.objectContaining({ code: "conflict" }));
  });

  it("the caller starts and kills a direct launch that waits for its start; a terminal needs a console", async (under) => {
    const { launcher, plan, directory } = under;
    const whole = plan(suitePrograms.runs, { operations: [{ kind: "wait-start" }] });
    const { streams, output } = under.inheritable();
    const stem = await launcher.prepare(whole.stem);
    const run = await stem.launchDirect({ plan: whole, directory: directory(), io: { kind: "direct", streams } });
    await run.start();
    run.signal(SIGKILL);
    expect(await run.wait()).toMatchObject({ code: 137, signal: SIGKILL });
    await output();
    const terminal = plan(suitePrograms.runs, { terminal: true });
    const other = await launcher.prepare(terminal.stem);
    const next = under.inheritable();
    const request: LaunchRequest<DirectIo> = {
      plan: terminal,
      directory: directory(),
      io: { kind: "direct", streams: next.streams },
    };
    await expect(other.launchDirect(request)).rejects.toMatchObject({ code: "invalid-argument" });
    await next.output();
  });
}
