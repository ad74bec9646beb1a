/** Exit codes, signals, `--init`, and the errors of programs that cannot be executed. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "@fathom/base";
import { startWords } from "@fathom/engine";
import { LaunchFailure } from "@fathom/runtime";
import { launcher, plan, Rig, run, start, unlogged, fileLog } from "./rig.ts";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

test("a program's exit code is the container's exit code", async () => {
  for (const code of [0, 1, 42, 255]) {
    const result = await run(rig, ["sh", "-c", `exit ${code}`]);
    expect(result.code).toBe(code);
    expect(result.signal).toBe(0);
  }
});

test("a signal ends it with 128+n", async () => {
  const { supervisor } = await start(rig, ["sleep", "100"]);
  await supervisor.signal(9);
  const status = await supervisor.exit;
  expect(status).toMatchObject({ code: 137, signal: 9 });
  expect(status.lost).toBeUndefined();
  expect(Date.parse(status.finishedAt)).toBeGreaterThan(Date.now() - 10_000);
});

test("with init the program is not pid 1, gets the signals, and its status is the container's", async () => {
  expect((await run(rig, ["sh", "-c", "test $$ -ne 1 && exit 3"], { init: true })).code).toBe(3);
  expect((await run(rig, ["sh", "-c", "kill -9 $$"], { init: true })).code).toBe(137);
  expect((await run(rig, ["sh", "-c", "echo $$"])).stdout).toBe("1\n");
  const { supervisor } = await start(rig, ["sleep", "100"], { init: true });
  await supervisor.signal(15);
  expect((await supervisor.exit).code).toBe(143);
});

interface Expected {
  readonly argv: readonly string[];
  readonly code: EngineError["code"];
  readonly words: string;
}

test("a program that cannot be executed is rejected in Docker's words, and nothing is left", async () => {
  writeFileSync(join(rig.rootfs, "etc/passwd"), "root:x:0:0::/:/bin/sh\n");
  writeFileSync(join(rig.rootfs, "bin/garbage"), "\x01\x02\x03 no program");
  chmodSync(join(rig.rootfs, "bin/garbage"), 0o755);
  const expected: readonly Expected[] = [
    { argv: ["nosuch"], code: "executable-not-found", words: 'exec: "nosuch": executable file not found in $PATH' },
    {
      argv: ["/no/such"],
      code: "executable-not-found",
      words: 'exec: "/no/such": stat /no/such: no such file or directory',
    },
    { argv: ["/etc"], code: "not-executable", words: 'exec: "/etc": is a directory: permission denied' },
    { argv: ["/etc/passwd"], code: "not-executable", words: 'exec: "/etc/passwd": permission denied' },
    { argv: ["/bin/garbage"], code: "not-executable", words: "exec /bin/garbage: exec format error" },
  ];
  for (const init of [false, true]) {
    for (const { argv, code, words } of expected) {
      const whole = plan(rig, argv, { init });
      const directory = rig.directory();
      const prepared = await launcher.prepare(whole.stem);
      let thrown: unknown;
      try {
        await prepared.launch({ plan: whole, directory, io: unlogged() });
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(LaunchFailure);
      if (!(thrown instanceof LaunchFailure)) return;
      expect(thrown.code).toBe(code);
      expect(startWords(thrown)).toEndWith(words);
      expect(thrown.stage).toBe("launch");
      expect(readdirSync(directory)).toEqual([]);
      expect(existsSync(`/proc/${prepared.pid}`)).toBe(false);
    }
  }
});

test("a working directory that is missing, and one that is made", async () => {
  const missing = run(rig, ["pwd"], { process: [{ kind: "working-directory", path: "/no/dir", create: false }] });
  await expect(missing).rejects.toMatchObject({ stage: "launch", call: "chdir", path: "/no/dir", errno: 2 });
  const made = await run(rig, ["pwd"], {
    process: [{ kind: "working-directory", path: "/made/for/me", create: true }],
  });
  expect(made.stdout).toBe("/made/for/me\n");
});

test("a program killed while its plan runs is an error, not an exit", async () => {
  const whole = plan(rig, ["true"]);
  const prepared = await launcher.prepare(whole.stem);
  process.kill(prepared.pid, "SIGKILL");
  const launch = prepared.launch({ plan: whole, directory: rig.directory(), io: unlogged() });
  await expect(launch).rejects.toBeInstanceOf(EngineError);
  await launch.catch(() => undefined);
});

test("the error names the first operation that fails, also the very first", async () => {
  for (let turn = 0; turn < 20; turn++) {
    const whole = plan(rig, ["true"]);
    const wrong = { kind: "attach-root", source: { kind: "directory", path: "/no/rootfs" }, at: rig.at } as const;
    const prepared = await launcher.prepare(whole.stem);
    const directory = rig.directory();
    const io = { ...unlogged(), log: fileLog(directory) };
    const request = { plan: { ...whole, operations: [wrong] }, directory, io };
    const error = await prepared.launch(request).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ stage: "launch", call: "open_tree", detail: "/no/rootfs", errno: 2 });
  }
});

test("when a log or directory cannot be opened, the launch fails and the program has not run", async () => {
  const proof = join(rig.rootfs, "tmp/ran");
  for (const directory of [rig.directory(), "/no/such/directory"]) {
    const whole = plan(rig, ["touch", "/tmp/ran"]);
    const prepared = await launcher.prepare(whole.stem);
    const io = { ...unlogged(), log: fileLog(directory, { path: "/no/such/log" }) };
    const launch = prepared.launch({ plan: whole, directory, io });
    await expect(launch).rejects.toThrow(/No such file or directory|no such file or directory/);
    await launch.catch(() => undefined);
    expect(existsSync(proof)).toBe(false);
    expect(existsSync(`/proc/${prepared.pid}`)).toBe(false);
  }
});
