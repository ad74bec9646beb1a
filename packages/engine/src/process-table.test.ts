import { expect, test } from "bun:test";
import { listProcesses } from "./process-table.ts";

const own = [process.pid];

test("the default columns are those of ps -ef", () => {
  const table = listProcesses(own, "");
  expect(table.titles).toEqual(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
  expect(table.rows[0]![1]).toBe(String(process.pid));
  expect(table.rows[0]![2]).toBe(String(process.ppid));
  expect(table.rows[0]![7]).toContain("bun");
});

test("user-defined formats", () => {
  expect(listProcesses(own, "-o pid,args").titles).toEqual(["PID", "COMMAND"]);
  expect(listProcesses(own, "-eo pid,comm").titles).toEqual(["PID", "COMMAND"]);
  expect(listProcesses(own, "-o pid -o ppid").titles).toEqual(["PID", "PPID"]);
  expect(listProcesses(own, "axo pid,stat").titles).toEqual(["PID", "STAT"]);
  expect(listProcesses(own, "aux").titles.join(" ")).toBe("USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
});

test("what cannot be done is said", () => {
  expect(() => listProcesses(own, "-o args")).toThrow("Couldn't find PID field in ps output");
  expect(() => listProcesses(own, "-o pid,nosuchfield")).toThrow('"nosuchfield"');
  expect(() => listProcesses(own, "-o")).toThrow("unknown user-defined format specifier");
  expect(() => listProcesses(own, "-o args=PID")).toThrow("unknown user-defined format specifier");
  expect(() => listProcesses(own, "--forest")).toThrow("--forest");
});

test("processes that ended meanwhile are left out", () => {
  expect(listProcesses([...own, 4_194_303], "").rows).toHaveLength(1);
});
