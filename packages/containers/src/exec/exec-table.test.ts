import { expect, test } from "bun:test";
import { decodeExecCreate } from "@fathom/spec";
import type { Container } from "../container.ts";
import { ExecTable, type Exec } from "./exec-table.ts";

const container = { execs: new Set<string>() } as unknown as Container;

function exec(id: string, more: Partial<Exec> = {}): Exec {
  const request = decodeExecCreate({ Cmd: ["true"] });
  return {
    id,
    container,
    request,
    command: ["true"],
    state: "created",
    exitCode: undefined,
    handle: undefined,
    endedMs: 0,
    ...more,
  };
}

test("execs that are created and never started are bounded: the old give way, and without old ones it is an error", () => {
  let nowMs = 0;
  const table = new ExecTable(() => nowMs);
  for (let index = 0; index < 1000; index++) table.add(exec(`e${index}`));
  expect(() => table.add(exec("more"))).toThrow("too many execs were created and not started: 1000 (at most 1000");
  // Health checks and others that run at once are none of them.
  table.add(exec("running", { state: "running" }));
  nowMs = 5 * 60_000;
  table.add(exec("later"));
  expect(table.list().length).toBe(1001);
  expect(() => table.find("e0")).toThrow("No such exec instance");
  expect(container.execs.has("e0")).toBe(false);
  expect(table.find("e1").state).toBe("created");
});

test("what they hold is bounded too; those that ended go first", () => {
  const table = new ExecTable(() => 0);
  const command = ["x".repeat(30 << 20)];
  const first = exec("first", { command });
  table.add(first);
  table.ended(first);
  table.add(exec("second", { command }));
  table.add(exec("third", { command }));
  expect(table.list().map(({ id }) => id)).toEqual(["second", "third"]);
  expect(() => table.add(exec("fourth", { command }))).toThrow("too many execs");
});
