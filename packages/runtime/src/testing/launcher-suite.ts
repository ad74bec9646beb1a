/** What every `Launcher` must do. The real one runs it as root (`test/launcher/contract.test.ts`), the fake beside its own tests. */
import { expect } from "bun:test";
import { parseRfc3339Nano, randomId } from "@fathom/base";
import { directLaunchSuite } from "./direct-launch-suite.ts";
import { launchFailureSuite } from "./launch-failure-suite.ts";
import {
  end,
  everything,
  launch,
  outputs,
  SIGKILL,
  suitePrograms,
  supervised,
  testsOf,
  type LauncherUnderTest,
} from "./launcher-under-test.ts";

export function launcherSuite(name: string, open: () => Promise<LauncherUnderTest>): void {
  const it = testsOf(name, open);
  launchFailureSuite(it);
  directLaunchSuite(it);

  it("a stem is a process that waits; it can be discarded, more than once", async ({ launcher, plan }) => {
    const stem = await launcher.prepare(plan(suitePrograms.runs).stem);
    expect(stem.pid).toBeGreaterThan(0);
    expect(stem.usable).toBe(true);
    expect(stem.networkNamespaceFd).toBeGreaterThanOrEqual(0);
    await stem.discard();
    expect(stem.usable).toBe(false);
    await stem.discard();
    const { newNamespaces } = plan(suitePrograms.runs).stem;
    const joins = newNamespaces.filter((kind) => kind !== "network");
    const shared = await launcher.prepare({ newNamespaces: joins, cgroupProcs: [] });
    expect(shared.networkNamespaceFd).toBeUndefined();
    await shared.discard();
  });

  it("a stem is launched once", async (under) => {
    const whole = under.plan(suitePrograms.runs);
    const stem = await under.launcher.prepare(whole.stem);
    const launched = await stem.launch({ plan: whole, directory: under.directory(), io: supervised() });
    expect(launched.supervisor.pid).toBe(stem.pid);
    expect(stem.usable).toBe(false);
    const again = stem.launch({ plan: whole, directory: under.directory(), io: supervised() });
    await expect(again).rejects.toMatchObject({ code: "internal" });
    await end(launched);
  });

  it("an attachment has every byte from the first to the end of file, and the exit has code and times", async (under) => {
    const { supervisor, attachments } = await launch(under, suitePrograms.prints, {
      io: { attach: [outputs, outputs] },
    });
    for (const attachment of attachments)
      expect(await under.talk(attachment)).toEqual({ stdout: "to-out\n", stderr: "to-err\n" });
    const exit = await supervisor.exit;
    expect(exit).toMatchObject({ code: 0, signal: 0 });
    expect(exit.lost).toBeUndefined();
    const [started, finished] = [supervisor.startedAt, exit.finishedAt].map(parseRfc3339Nano);
    expect(started).toBeDefined();
    expect(finished).toBeGreaterThanOrEqual(started!);
    const failed = await launch(under, suitePrograms.fails);
    expect(await failed.supervisor.exit).toMatchObject({ code: 7, signal: 0 });
  });

  it("input reaches the process, and its end too if the client asked for that", async (under) => {
    const { supervisor, attachments } = await launch(under, suitePrograms.copies, {
      io: { openStdin: true, attach: [everything] },
    });
    expect(await under.talk(attachments[0]!, "there and back\n")).toEqual({ stdout: "there and back\n", stderr: "" });
    expect((await supervisor.exit).code).toBe(0);
  });

  it("attach joins a running process; after its end attach fails", async (under) => {
    const { supervisor } = await launch(under, suitePrograms.copies, { io: { openStdin: true } });
    const attachment = await supervisor.attach(everything);
    expect((await under.talk(attachment, "late\n")).stdout).toBe("late\n");
    expect((await supervisor.exit).code).toBe(0);
    await expect(supervisor.attach(outputs)).rejects.toMatchObject({ name: "EngineError" });
  });

  it("a signal ends the process; after its end a signal is a conflict", async (under) => {
    const launched = await launch(under, suitePrograms.runs);
    await end(launched);
    await expect(launched.supervisor.signal(SIGKILL)).rejects.toMatchObject({ code: "conflict" });
  });

  it("a terminal has a size, another process has none", async (under) => {
    const terminal = await launch(under, suitePrograms.runs, { terminal: true });
    await terminal.supervisor.resize(30, 90);
    await end(terminal);
    const none = await launch(under, suitePrograms.runs);
    await expect(none.supervisor.resize(30, 90)).rejects.toMatchObject({ name: "EngineError" });
    await end(none);
  });

  it("an exec has output, code and attachments of its own, and takes signals", async (under) => {
    const launched = await launch(under, suitePrograms.runs);
    const { supervisor } = launched;
    const exec = (argv: readonly string[], execId: string = randomId()) =>
      supervisor.exec({ execId, plan: under.execPlan(argv), openStdin: true, attach: [everything] });
    const prints = await exec(suitePrograms.prints);
    expect(prints.pid).not.toBe(supervisor.pid);
    expect(await under.talk(prints.attachments[0]!)).toEqual({ stdout: "to-out\n", stderr: "to-err\n" });
    expect((await prints.exit).code).toBe(0);
    const copies = await exec(suitePrograms.copies);
    expect((await under.talk(copies.attachments[0]!, "again\n")).stdout).toBe("again\n");
    const fails = await exec(suitePrograms.fails);
    expect((await fails.exit).code).toBe(7);
    const killed = await exec(suitePrograms.runs);
    await supervisor.signal(SIGKILL, killed.execId);
    expect(await killed.exit).toMatchObject({ code: 137, signal: SIGKILL });
    await under.talk(fails.attachments[0]!);
    await under.talk(killed.attachments[0]!);
    await end(launched);
  });

  it("two execs cannot have the same id; execs end with the container", async (under) => {
    const launched = await launch(under, suitePrograms.runs);
    const request = { execId: randomId(), plan: under.execPlan(suitePrograms.runs), openStdin: false, attach: [] };
    const exec = await launched.supervisor.exec(request);
    await expect(launched.supervisor.exec(request)).rejects.toMatchObject({ code: "conflict" });
    await end(launched);
    expect((await exec.exit).code).toBe(137);
    await expect(launched.supervisor.exec({ ...request, execId: randomId() })).rejects.toMatchObject({
      name: "EngineError",
    });
  });

  it("a plan with wait-start waits for the start", async (under) => {
    const launched = await launch(under, suitePrograms.succeeds, { operations: [{ kind: "wait-start" }] });
    await launched.supervisor.start();
    expect((await launched.supervisor.exit).code).toBe(0);
  });

  it("another daemon finds a run by its directory: running, ended, or none", async (under) => {
    const first = await launch(under, suitePrograms.runs);
    const known = {
      identity: first.supervisor.identity,
      pid: first.supervisor.pid,
      startedAt: first.supervisor.startedAt,
    };
    first.supervisor.disconnect();
    const other = under.another();
    expect(await other.reconnect(under.directory())).toEqual({ kind: "gone" });
    const found = await other.reconnect(first.directory, known);
    if (found.kind !== "running") throw new Error(found.kind);
    const { pid, supervisorPid, startedAt, unreachable } = found.supervisor;
    expect([pid, supervisorPid, startedAt]).toEqual([
      first.supervisor.pid,
      first.supervisor.supervisorPid,
      known.startedAt,
    ]);
    expect(unreachable).toBeUndefined();
    await end(found);
    const ended = await under.another().reconnect(first.directory, known);
    if (ended.kind !== "exited") throw new Error(ended.kind);
    expect(ended.exit).toMatchObject({ code: 137, signal: SIGKILL });
  });

  it("a run that is treated as running accepts signals, and its end is reported", async (under) => {
    const first = await launch(under, suitePrograms.runs);
    const known = {
      identity: first.supervisor.identity,
      pid: first.supervisor.pid,
      startedAt: first.supervisor.startedAt,
    };
    first.supervisor.disconnect();
    const assumed = under.another().assume(first.directory, known, "nobody has looked");
    expect(assumed.pid).toBe(known.pid);
    expect(assumed.unreachable).toContain("nobody has looked");
    await assumed.signal(SIGKILL);
    expect((await assumed.exit).code).toBe(137);
  });

  it("a container's cgroup counts it, freezes and thaws it, kills it, and is removed", async (under) => {
    const cgroup = under.cgroups.create(under.cgroupPath);
    const launched = await launch(under, suitePrograms.runs, { cgroupProcs: cgroup.procsFiles });
    expect(cgroup.processes()).toEqual([launched.supervisor.pid]);
    expect(cgroup.stats().pids).toBe(1);
    expect(cgroup.oomKills()).toBe(0);
    await cgroup.freeze();
    expect(under.cgroups.open(under.cgroupPath).frozen()).toBe(true);
    await cgroup.thaw();
    expect(cgroup.frozen()).toBe(false);
    await cgroup.kill();
    expect(await launched.supervisor.exit).toMatchObject({ code: 137, signal: SIGKILL });
    expect(cgroup.processes()).toEqual([]);
    const parent = under.cgroupPath.slice(0, under.cgroupPath.lastIndexOf("/"));
    const ownName = under.cgroupPath.slice(parent.length + 1);
    expect(under.cgroups.list(parent)).toContain(ownName);
    await cgroup.remove();
    expect(under.cgroups.list(parent)).not.toContain(ownName);
  });
}
