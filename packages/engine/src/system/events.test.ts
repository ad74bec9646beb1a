import { expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import { Events } from "./events.ts";

test("events have the clock's time, also after it was set back; two events never share a time", async () => {
  let nowNs = 1_700_000_000_000_000_000n;
  const events = new Events({ ...systemClock, nowNs: () => nowNs });
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
  const events = new Events(systemClock, () => said++);
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

test("events with many labels are kept and queued up to a size, and the newest one always", async () => {
  const events = new Events(systemClock);
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
  for (const ids of [
    await idsOf(reading),
    await idsOf(events.subscribe({ since: 0n, until: undefined, filters: {} }, abort.signal)),
  ]) {
    expect(ids.length).toBeGreaterThan(5);
    expect(ids.length).toBeLessThan(40);
    expect(ids.at(-1)).toBe("199");
  }
  const huge = { everything: "x".repeat(64 << 20) };
  events.publish("container", "die", "huge", huge);
  for await (const { Actor } of events.subscribe({ since: 0n, until: undefined, filters: {} }, abort.signal)) {
    expect(Actor.ID).toBe("huge");
    break;
  }
  abort.abort();
});
