import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Attachment } from "../contract.ts";
import type { LaunchPlan, Operation } from "../plan/plan.ts";
import { FakeCgroups } from "./fake-cgroups.ts";
import { FakeLauncher, type FakeFailure } from "./fake-launcher.ts";
import type { FakeProgram, FakeStream } from "./fake-process.ts";
import { launcherSuite } from "./launcher-suite.ts";
import { suitePrograms, type LauncherUnderTest, type SuitePlan } from "./launcher-under-test.ts";

const base = mkdtempSync(join(tmpdir(), "fathom-fake-launcher-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const programs: Readonly<Record<Exclude<keyof typeof suitePrograms, "missing" | "noProgram">, FakeProgram>> = {
  succeeds: { code: 0 },
  fails: { code: 7 },
  runs: {},
  prints: { stdout: "to-out\n", stderr: "to-err\n", code: 0 },
  copies: { echoes: true },
};

function outcome({ operations }: LaunchPlan): FakeProgram | FakeFailure {
  const changes = operations.findIndex((one) => one.kind === "working-directory" && one.path.startsWith("/nowhere"));
  if (changes >= 0) return { operation: changes, errno: 2, call: "chdir" };
  const last = operations.length - 1;
  const program = operations[last];
  const argv = program?.kind === "exec" ? program.argv.join(" ") : "";
  if (argv === suitePrograms.missing.join(" ")) return { operation: last, errno: 2, call: "stat" };
  if (argv === suitePrograms.noProgram.join(" ")) return { operation: last, errno: 21, call: "stat" };
  for (const [name, found] of Object.entries(programs))
    if (argv === suitePrograms[name as keyof typeof programs].join(" ")) return found;
  throw new Error(`no program ${argv}`);
}

function plan(argv: readonly string[], change: SuitePlan, namespaces: LaunchPlan["stem"]["newNamespaces"]): LaunchPlan {
  const program: Operation = { kind: "exec", candidates: [argv[0]!], argv, env: [] };
  return {
    version: 1,
    stem: { newNamespaces: namespaces, cgroupProcs: change.cgroupProcs ?? [] },
    operations: [...(change.operations ?? []), program],
    terminal: change.terminal === true ? { rows: 0, columns: 0 } : null,
  };
}

function open(): LauncherUnderTest & { readonly fake: FakeLauncher } {
  const fake = new FakeLauncher({
    outcome,
    stemFailure: ({ cgroupProcs }) =>
      cgroupProcs.some((file) => file.startsWith("/nowhere")) ? { errno: 2, call: "open" } : undefined,
  });
  const open = new Set<FakeStream>();
  const inside = (path: string) =>
    [...fake.processes.values()].filter(
      ({ ended, request }) => ended === undefined && request.plan.stem.cgroupProcs.includes(`/cg${path}/cgroup.procs`),
    );
  const cgroups = new FakeCgroups({
    occupants: (path) => inside(path).map(({ pid }) => pid),
    kill: (path) => inside(path).forEach((process) => process.end(137)),
  });
  let count = 0;
  let nextFd = 40;
  return {
    fake,
    launcher: fake.open(),
    cgroups: cgroups.api(),
    cgroupPath: "/suite/one",
    plan: (argv, change = {}) => plan(argv, change, ["mount", "pid", "network"]),
    execPlan: (argv, change = {}) => plan(argv, change, []),
    directory() {
      const directory = join(base, crypto.randomUUID(), `${count++}`);
      mkdirSync(directory, { recursive: true });
      return directory;
    },
    async talk({ fd }: Attachment, input?: string) {
      const stream = fake.streams.get(fd)!;
      if (input !== undefined) stream.write(input);
      stream.closeInput();
      await stream.ended;
      fake.streams.delete(fd);
      const { stdout, stderr } = stream;
      return { stdout, stderr };
    },
    inheritable() {
      const fd = nextFd++;
      const stream = fake.inheritable(fd);
      open.add(stream);
      return {
        streams: { kind: "inherited", stdin: fd, stdout: fd, stderr: fd },
        output: async () => {
          open.delete(stream);
          return stream.stdout;
        },
      };
    },
    another: () => fake.open(),
    holds: () => [
      ...[...fake.stems].map((pid) => `stem ${pid}`),
      ...[...fake.processes.values()].filter(({ ended }) => ended === undefined).map(({ pid }) => `process ${pid}`),
      ...[...fake.streams.keys()].map((fd) => `attachment ${fd}`),
    ],
    [Symbol.asyncDispose]: async () => undefined,
  };
}

launcherSuite("the fake", async () => open());

test("each call of the fake fails and hangs as planned, and leaves nothing", async () => {
  const names = ["launcher.prepare", "stem.launch", "supervisor.exec", "supervisor.signal", "supervisor.attach"];
  const steps = async ({ launcher, plan, execPlan, directory }: LauncherUnderTest): Promise<void> => {
    const whole = plan(suitePrograms.runs);
    const stem = await launcher.prepare(whole.stem);
    const io = { kind: "supervised", log: { kind: "none" }, openStdin: false, attach: [] } as const;
    const { supervisor } = await stem.launch({ plan: whole, directory: directory(), io });
    await supervisor.exec({ execId: "a", plan: execPlan(suitePrograms.runs), openStdin: false, attach: [] });
    await supervisor.attach({ stdin: false, stdout: true, stderr: true, closeStdin: false });
    await supervisor.signal(9);
  };
  for (const name of names) {
    const failing = open();
    failing.fake.faults.failNext(name, new Error("planned"));
    await expect(steps(failing)).rejects.toThrow("planned");
    expect(failing.fake.faults.done).toBe(true);

    const hanging = open();
    const hang = hanging.fake.faults.hangNext(name);
    let over = false;
    const work = steps(hanging).then(() => (over = true));
    await hang.reached;
    expect(over).toBe(false);
    hang.goOn();
    await work;
    expect(hanging.holds().filter((what) => !what.startsWith("attachment"))).toEqual([]);
  }
});

test("a stem whose launch fails cannot be used again, also when the call itself is made to fail", async () => {
  const { fake, launcher, plan, directory } = open();
  const whole = plan(suitePrograms.runs, {});
  const stem = await launcher.prepare(whole.stem);
  fake.faults.failNext("stem.launch", new Error("planned"));
  const io = { kind: "supervised", log: { kind: "none" }, openStdin: false, attach: [] } as const;
  await expect(stem.launch({ plan: whole, directory: directory(), io })).rejects.toThrow("planned");
  expect(stem.usable).toBe(false);
  expect([...fake.stems]).toEqual([]);
});
