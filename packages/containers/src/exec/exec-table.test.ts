import { expect, test } from "bun:test";
import type { Container } from "../container.ts";
import { ContainerProblem } from "../problem.ts";
import { plainExec } from "./exec-spec.ts";
import { ExecTable, newExec, type Exec } from "./exec-table.ts";

const container = { execs: new Set<string>() } as unknown as Container;

function exec(id: string, more: Partial<Exec> = {}): Exec {
  return { ...newExec(container, plainExec(["true"]), "created"), id, ...more };
}

test("there is a limit for execs that are created and never started: old ones are dropped, and without old ones it is an error", () => {
  let nowMs = 0;
  const table = new ExecTable(() => nowMs);
  for (let index = 0; index < 1000; index++) table.add(exec(`e${index}`));
  expect(() => table.add(exec("more"))).toThrow("too many execs were created and not started: 1000 (at most 1000");
  // Execs that run at once, such as health checks, do not count.
  table.add(exec("running", { state: "running" }));
  nowMs = 5 * 60_000;
  table.add(exec("later"));
  expect(table.list().length).toBe(1001);
  expect(() => table.find("e0")).toThrow(new ContainerProblem({ kind: "no-such-exec", id: "e0" }));
  expect(container.execs.has("e0")).toBe(false);
  expect(table.find("e1").state).toBe("created");
});

test("there is a limit for the memory of execs too; execs that have ended are dropped first", () => {
  const table = new ExecTable(() => 0);
  const spec = plainExec(["x".repeat(30 << 20)]);
  const first = exec("first", { spec });
  table.add(first);
  table.ended(first);
  table.add(exec("second", { spec }));
  table.add(exec("third", { spec }));
  expect(table.list().map(({ id }) => id)).toEqual(["second", "third"]);
  expect(() => table.add(exec("fourth", { spec }))).toThrow("too many execs");
});
