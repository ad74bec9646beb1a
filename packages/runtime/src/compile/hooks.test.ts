/** What a caller without a supervisor needs of a plan: hooks, the gate, an additional process, time offsets. */
import { expect, test } from "bun:test";
import { compile } from "./compile.ts";
import { compileExec, joinContainer } from "./exec.ts";
import { kinds, options, spec } from "../testing/plan-fixture.ts";

const around = { before: '{"pid":', after: "}" };
const hooks = {
  meeting: { reached: "/r", proceed: "/p" },
  createContainer: around,
  startContainer: around,
} as const;
const hook = { path: "/bin/hook", args: ["hook", "a"], env: ["A=1"], timeout: 3 };

test("hooks of the container's namespaces have their places in the plan", () => {
  const given = spec({ hooks: { createContainer: [hook], startContainer: [{ path: "/h" }], poststop: [hook] } });
  const plan = compile(given, { ...options, hooks, waitForStart: true });
  const order = kinds(plan.operations);
  const pivot = order.indexOf("pivot-root");
  expect(order.slice(pivot - 2, pivot)).toEqual(["meet", "hook"]);
  const wait = order.indexOf("wait-start");
  expect([order[wait - 1], order[wait + 1]]).toEqual(["find-program", "hook"]);
  expect(order.filter((kind) => kind === "hook")).toHaveLength(2);
  expect(plan.operations[pivot - 1]).toEqual({
    kind: "hook",
    stage: "createContainer",
    path: "/bin/hook",
    argv: ["hook", "a"],
    env: ["A=1"],
    timeoutMs: 3000,
    ...around,
  });
  expect(plan.operations[wait + 1]).toMatchObject({ stage: "startContainer", argv: ["/h"], env: [], timeoutMs: 0 });
  expect(() => compile(given, options)).toThrow("hooks: not supported yet");
});

test("an additional process joins the container first", () => {
  const process = { args: ["ls"], cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } };
  const place = {
    namespaces: ["mount", "network"],
    pidNamespace: "/proc/7/ns/pid",
    cgroupProcs: ["/c/tasks"],
  } as const;
  const plan = joinContainer(compileExec(process), place);
  expect(plan.operations[0]).toEqual({ kind: "join-process", namespaces: ["mount", "network"] });
  expect(plan.stem).toEqual({ newNamespaces: [], cgroupProcs: ["/c/tasks"], joinPidNamespace: "/proc/7/ns/pid" });
});

test("time offsets belong to a new time namespace", () => {
  const of = (type: string, timeOffsets: object, path?: string): unknown =>
    compile(
      spec({
        linux: { namespaces: [{ type: "mount" }, { type: "uts" }, { type, path }], timeOffsets, sysctl: {} },
      }),
      options,
    ).stem;
  expect(of("time", { monotonic: { secs: -7, nanosecs: 3 }, boottime: { secs: 9 } })).toMatchObject({
    newNamespaces: ["mount", "uts", "time"],
    timeOffsets: [
      { clock: "monotonic", seconds: -7n, nanoseconds: 3 },
      { clock: "boottime", seconds: 9n, nanoseconds: 0 },
    ],
  });
  expect(() => of("ipc", { monotonic: { secs: 1 } })).toThrow("they need a new time namespace");
  expect(() => of("time", { monotonic: { secs: 1 } }, "/proc/7/ns/time")).toThrow("they need a new time namespace");
  expect(() => of("time", { realtime: { secs: 1 } })).toThrow('there is no clock "realtime"');
  expect(() => of("time", { monotonic: { nanosecs: 1e9 } })).toThrow("are a second or more");
});
