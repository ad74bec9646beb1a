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

test("a stage with many waiting events waits for its turn", async () => {
  let count = 0;
  const order = new EventOrder([0, 1], () => void count++);
  const late: Promise<void>[] = [];
  let settled = 0;
  for (let i = 0; i < 600; i++) late.push(order.emit(1, done(String(i))).then(() => void settled++));
  for (let i = 0; i < 10; i++) await Promise.resolve();
  expect([count, settled]).toEqual([0, 512]);
  await order.end(0);
  await Promise.all(late);
  expect(count).toBe(600);
});
