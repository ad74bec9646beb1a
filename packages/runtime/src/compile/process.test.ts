import { expect, test } from "bun:test";
import { compile } from "./compile.ts";
import { compileExec } from "./exec.ts";
import { exec, kinds, options, spec } from "../testing/plan-fixture.ts";

test("terminal, init, waiting for the start, keyring", () => {
  const plan = compile(spec({ process: { terminal: true, consoleSize: { height: 24, width: 80 } } }), {
    ...options,
    init: true,
    waitForStart: true,
    keyring: "k",
  });
  expect(plan.terminal).toEqual({ rows: 24, columns: 80 });
  expect(kinds(plan.operations).slice(-2)).toEqual(["wait-start", "exec"]);
  expect(plan.operations.at(-1)).toMatchObject({ init: true });
  expect(plan.operations).toContainEqual({ kind: "bind-console", path: "/dev/console" });
  expect(plan.operations).toContainEqual({ kind: "session-keyring", name: "k" });
  expect(
    compile(spec({ process: { terminal: true } }), { ...options, console: { rows: 3, columns: 4 } }).terminal,
  ).toEqual({
    rows: 3,
    columns: 4,
  });
});

test("an init only when the container has a pid 1 of its own", () => {
  const namespaces = [{ type: "mount" }, { type: "uts" }, { type: "network" }];
  const joined = [...namespaces, { type: "pid", path: "/proc/7/ns/pid" }];
  for (const list of [namespaces, joined]) {
    const plan = compile(spec({ linux: { namespaces: list } }), { ...options, init: true });
    expect(plan.operations.at(-1)).not.toHaveProperty("init");
  }
});

test("the program", () => {
  expect(exec({ args: ["/bin/x"], env: [] })).toMatchObject({ candidates: ["/bin/x"] });
  expect(exec({ args: ["x"], env: [] })).toMatchObject({ candidates: [] });
  expect(exec({ args: ["x"], env: ["PATH=/a::b"] })).toMatchObject({ candidates: ["/a/x", "x", "b/x"] });
  expect(() => exec({ args: [] })).toThrow(/no program/);
  expect(() => exec({ args: ["a\0"] })).toThrow(/NUL/);
  expect(() => exec({ env: ["=x"] })).toThrow(/NAME=value/);
  expect(() => exec({ rlimits: [{ type: "RLIMIT_X", soft: 1, hard: 1 }] })).toThrow(/unknown resource limit/);
  expect(() => exec({ rlimits: [{ type: "RLIMIT_NOFILE", soft: 2, hard: 1 }] })).toThrow(/above the hard limit/);
  expect(() => exec({ capabilities: { bounding: ["CAP_X"] } })).toThrow(/unknown capability: "CAP_X"/);
  expect(() => exec({ capabilities: { effective: ["CAP_KILL"] } })).toThrow(/part of the permitted set/);
});

test("an exec changes only the process", () => {
  const process = spec().process;
  const plan = compileExec({ ...process!, terminal: true }, { console: { rows: 5, columns: 6 } });
  // The decoder of a config.json says it of a container's process.
  expect(() => compileExec({ ...process!, cwd: "etc" }, {})).toThrow("Cwd must be an absolute path");
  expect(kinds(plan.operations)).toEqual([
    "new-session",
    "oom-score-adj",
    "umask",
    "rlimit",
    "bounding-set",
    "working-directory",
    "set-user",
    "capabilities",
    "exec",
  ]);
  expect(plan.stem).toEqual({ newNamespaces: [], cgroupProcs: [] });
  expect(plan.terminal).toEqual({ rows: 5, columns: 6 });
});
