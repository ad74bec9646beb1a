import { expect, test } from "bun:test";
import { sha256Digest } from "@fathom/spec";
import type { PullEvent, PullPhase } from "./contract.ts";
import { EventQueue } from "./event-queue.ts";
import { layerOfPull } from "./pull/puller.ts";

const [first, second] = [sha256Digest("first"), sha256Digest("second")];

function event(layer: typeof first, phase: PullPhase, current = 0): PullEvent {
  return { kind: "layer", layer, phase, current, total: 10 };
}

test("unread progress of a layer's download is replaced at its place; nothing else is replaced", async () => {
  const queue = new EventQueue(layerOfPull);
  for (const each of [
    event(first, "queued"),
    event(first, "queued"),
    event(first, "downloading", 1),
    event(second, "downloading", 1),
    event(first, "downloading", 2),
    event(first, "downloading", 3),
    event(first, "downloaded", 10),
    event(first, "downloading", 4),
  ])
    queue.push(each);
  queue.end();
  expect(await Array.fromAsync(queue)).toEqual([
    event(first, "queued"),
    event(first, "queued"),
    event(first, "downloading", 3),
    event(second, "downloading", 1),
    event(first, "downloaded", 10),
    event(first, "downloading", 4),
  ]);
});

test("a failure comes after everything before it was read, also for a reader that waits", async () => {
  const queue = new EventQueue(layerOfPull);
  queue.push(event(first, "queued"));
  const events = queue[Symbol.asyncIterator]();
  expect(await events.next()).toEqual({ done: false, value: event(first, "queued") });
  const next = events.next();
  queue.push(event(first, "waiting"));
  queue.fail(new Error("broken"));
  queue.end();
  expect(await next).toEqual({ done: false, value: event(first, "waiting") });
  const failure = await events.next().catch((error: unknown) => error);
  expect(failure).toEqual(new Error("broken"));
});
