import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listProcesses, type ProcessSource } from "./process-table.ts";
import { parseArguments } from "./ps-arguments.ts";
import { ContainerProblem } from "../problem.ts";
import { temporaryDirectory } from "@fathom/base/testing";

const own: ProcessSource = { kind: "pids", pids: [process.pid] };

test("the default columns are those of ps -ef", () => {
  const table = listProcesses(own, parseArguments(""));
  expect(table.titles).toEqual(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
  expect(table.rows[0]![1]).toBe(String(process.pid));
  expect(table.rows[0]![2]).toBe(String(process.ppid));
  expect(table.rows[0]![7]).toContain("bun");
});

test("user-defined formats", () => {
  expect(listProcesses(own, parseArguments("-o pid,args")).titles).toEqual(["PID", "COMMAND"]);
  expect(listProcesses(own, parseArguments("-eo pid,comm")).titles).toEqual(["PID", "COMMAND"]);
  expect(listProcesses(own, parseArguments("-o pid -o ppid")).titles).toEqual(["PID", "PPID"]);
  expect(listProcesses(own, parseArguments("axo pid,stat")).titles).toEqual(["PID", "STAT"]);
  expect(listProcesses(own, parseArguments("aux")).titles.join(" ")).toBe(
    "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
  );
});

test("what is not supported is an error that is a value, before a thread is started", () => {
  const problem = (text: string): unknown => {
    try {
      return parseArguments(text);
    } catch (error) {
      return error instanceof ContainerProblem ? error.problem : error;
    }
  };
  expect(problem("-o args")).toEqual({ kind: "no-pid-column" });
  expect(problem("-o pid,nosuchfield")).toEqual({ kind: "unknown-ps-column", name: "nosuchfield" });
  expect(problem("-o")).toEqual({ kind: "unknown-ps-column", name: "" });
  expect(problem("-o args=PID")).toEqual({ kind: "unknown-ps-column", name: "args=PID" });
  expect(problem("--forest")).toEqual({ kind: "unsupported-ps-option", option: "--forest" });
});

test("processes that ended meanwhile are left out", () => {
  expect(listProcesses({ kind: "pids", pids: [process.pid, 4_194_303] }, parseArguments("")).rows).toHaveLength(1);
});

test("the last row of a table that was cut says that it was cut", () => {
  const children = Array.from({ length: 3 }, () =>
    Bun.spawn(["sleep", "100"], { stdio: ["ignore", "ignore", "ignore"] }),
  );
  try {
    const pids = [process.pid, ...children.map(({ pid }) => pid)];
    const limits = { processes: 100, cgroups: 100, argumentBytes: 1 << 20, ms: 60_000 };
    const rows = (change: Partial<typeof limits>) =>
      listProcesses({ kind: "pids", pids }, parseArguments("-o pid,args"), { ...limits, ...change }).rows;
    expect(rows({})).toHaveLength(4);
    expect(rows({ processes: 2 }).at(-1)).toEqual(["-", "(the table is cut: there are more than 2 processes)"]);
    expect(rows({ processes: 2 })).toHaveLength(3);
    expect(rows({ argumentBytes: 1 })).toHaveLength(2);
    expect(rows({ ms: -1 }).at(-1)).toEqual(["-", "(the table is cut: not all could be read within -1 ms)"]);
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
});

test("processes of a cgroup and of those below it", () => {
  using root = temporaryDirectory("processes");
  const make = (name: string, pids: string): void => {
    mkdirSync(join(root.path, name), { recursive: true });
    writeFileSync(join(root.path, name, "cgroup.procs"), pids);
  };
  make(".", "0\n");
  make("a/b", `${process.pid}\n`);
  make("c", `${process.ppid}\n${process.pid}\n`);
  const list = (cgroups = 10) =>
    listProcesses({ kind: "cgroup", directory: root.path }, parseArguments("-o pid"), {
      processes: 10,
      cgroups,
      argumentBytes: 1 << 20,
      ms: 60_000,
    }).rows.map(([pid]) => pid);
  expect(list()).toEqual([process.pid, process.ppid].sort((a, b) => a - b).map(String));
  expect(list(2).at(-1)).toBe("(the table is cut: there are more than 2 cgroups)");
});
