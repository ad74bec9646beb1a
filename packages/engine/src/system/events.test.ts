import { afterEach, beforeEach, expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import { temporaryDirectory, type TemporaryDirectory } from "@fathom/base/testing";
import { EventFile } from "./event-file.ts";
import { Events } from "./events.ts";

let directory: TemporaryDirectory;
let past: EventFile;
beforeEach(() => {
  directory = temporaryDirectory("events");
  past = new EventFile({
    directory: directory.path,
    failed: (error) => {
      throw error;
    },
  });
});
afterEach(() => {
  past.close();
  directory[Symbol.dispose]();
});

test("events have the clock's time, also after it was set back; two events never share a time", async () => {
  let nowNs = 1_700_000_000_000_000_000n;
  const events = new Events({ ...systemClock, nowNs: () => nowNs }, past);
  const until = { since: 0n, until: nowNs, filters: {} };
  events.publish("container", "start", "a", {});
  events.publish("container", "die", "a", {});
  nowNs -= 3_600_000_000_000n;
  events.publish("container", "start", "b", {});
  nowNs += 5_000_000n;
  events.publish("container", "die", "b", {});
  nowNs = until.until + 1_000_000_000n;
  const times: bigint[] = [];
  for await (const { timeNano } of events.subscribe(
    { ...until, until: nowNs - 5_000_000n },
    new AbortController().signal,
  ))
    times.push(BigInt(timeNano) - 1_700_000_000_000_000_000n);
  expect(times).toEqual([0n, 1n, -3_600_000_000_000n, -3_599_995_000_000n]);
});

test("a listener that does not read keeps the newest events, and the log says once that it loses others", async () => {
  let said = 0;
  const events = new Events(systemClock, past, () => said++);
  const abort = new AbortController();
  const reading = events.subscribe({ since: undefined, until: undefined, filters: {} }, abort.signal);
  for (let index = 0; index < 20_000; index++) events.publish("container", "start", String(index), {});
  expect(said).toBe(1);
  for await (const event of reading) {
    expect(event.Actor.ID).toBe(String(20_000 - 16_384));
    break;
  }
  abort.abort();
  expect(events.listenerCount).toBe(0);
});

test("events with many labels are queued up to a size, and the newest one always", async () => {
  const events = new Events(systemClock, past);
  const abort = new AbortController();
  const reading = events.subscribe({ since: undefined, until: undefined, filters: {} }, abort.signal);
  const labels = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`label${index}`, "x".repeat(1000)]));
  for (let index = 0; index < 200; index++) events.publish("container", "start", String(index), labels);
  const idsOf = async (source: AsyncIterable<{ Actor: { ID: string } }>): Promise<string[]> => {
    const ids: string[] = [];
    for await (const { Actor } of source) {
      ids.push(Actor.ID);
      if (Actor.ID === "199") break;
    }
    return ids;
  };
  // Each is about a megabyte.
  const ids = await idsOf(reading);
  expect(ids.length).toBeGreaterThan(5);
  expect(ids.length).toBeLessThan(40);
  expect(ids.at(-1)).toBe("199");
  const late = events.subscribe({ since: undefined, until: undefined, filters: {} }, abort.signal);
  events.publish("container", "die", "huge", { everything: "x".repeat(64 << 20) });
  for await (const { Actor } of late) {
    expect(Actor.ID).toBe("huge");
    break;
  }
  abort.abort();
});

test("past events come first and then live ones, each once, also those that are published while the past is read", async () => {
  const events = new Events(systemClock, past);
  const publish = (from: number, to: number): void => {
    for (let index = from; index < to; index++) events.publish("container", "start", String(index), {});
  };
  publish(0, 3000);
  const abort = new AbortController();
  const reading = events.subscribe({ since: 0n, until: undefined, filters: {} }, abort.signal);
  publish(3000, 3100);
  const ids: string[] = [];
  for await (const { Actor } of reading) {
    ids.push(Actor.ID);
    if (ids.length === 1000) publish(3100, 3200);
    if (ids.length === 3200) break;
  }
  expect(ids).toEqual(Array.from({ length: 3200 }, (_, index) => String(index)));
  abort.abort();
});
