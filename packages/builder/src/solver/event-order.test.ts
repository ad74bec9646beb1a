import { expect, test } from "bun:test";
import type { BuildEvent } from "../contract.ts";
import { EventOrder } from "./event-order.ts";

const done = (id: string): BuildEvent => ({ kind: "done", id });

test("events of stages that run at the same time come stage by stage", async () => {
  const seen: string[] = [];
  const order = new EventOrder([0, 2, 3], async (event) => {
    await Promise.resolve();
    if (event.kind === "done") seen.push(event.id);
  });
  await order.emit(2, done("b1"));
  await order.emit(0, done("a1"));
  await order.emit(3, done("c1"));
  await order.end(3);
  expect(seen).toEqual(["a1"]);
  await order.end(0);
  expect(seen).toEqual(["a1", "b1"]);
  await order.emit(2, done("b2"));
  await order.end(2);
  expect(seen).toEqual(["a1", "b1", "b2", "c1"]);
});

test("a stage never waits for its turn; of its waiting output a part is kept, and a line says so", async () => {
  const seen: BuildEvent[] = [];
  const order = new EventOrder([0, 1], (event) => void seen.push(event));
  const bytes = Buffer.alloc(100_000, "x");
  // None of these waits, although stage 0 never emits meanwhile.
  for (let i = 0; i < 600; i++) await order.emit(1, { kind: "output", stream: 1, bytes });
  await order.emit(1, done("b"));
  expect(seen).toEqual([]);
  await order.end(0);
  const output = seen.flatMap((event) => (event.kind === "output" ? [Buffer.from(event.bytes).toString()] : []));
  expect(output).toHaveLength(21);
  expect(output.at(-1)).toBe("[output clipped, log limit 2MiB reached]\n");
  expect(seen.at(-1)).toEqual(done("b"));
});
