/** What all `Leases` do. Each implementation and each fake runs it. */
import { expect, test } from "bun:test";
import { systemClock, type Clock } from "@fathom/base";
import type { OpenStoreUnderTest } from "./store-under-test.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const failsWith = (code: string): unknown => expect.objectContaining({ code });

/** A clock that the test moves. */
function testClock(): Clock & { ms: number } {
  return {
    ...systemClock,
    ms: 1_700_000_000_000,
    nowNs() {
      return BigInt(this.ms) * 1_000_000n;
    },
  };
}

export function leasesSuite(name: string, open: OpenStoreUnderTest): void {
  test(`${name}: a lease holds until it is released`, async () => {
    await using it = await open(testClock());
    const { leases, content, collector } = it.store;
    const lease = leases.create("pull x");
    expect(leases.list()).toMatchObject([
      { id: lease.id, label: "pull x", owner: { kind: "engine", current: true }, expiresAtMs: undefined },
    ]);
    const { digest } = content.put(bytes("kept"), lease);
    expect((await collector.collect()).blobs).toEqual([]);
    leases.release(lease);
    leases.release(lease);
    expect(leases.list()).toEqual([]);
    expect((await collector.collect()).blobs).toEqual([digest]);
    expect(() => content.put(bytes("late"), lease)).toThrow(failsWith("not-found"));
  });

  test(`${name}: a start of the engine releases the leases of its own earlier starts, and no other`, async () => {
    await using it = await open(testClock());
    const before = it.store;
    const ofPull = before.content.put(bytes("of the pull"), before.leases.create("pull")).digest;
    before.content.put(
      bytes("of the client"),
      before.leases.create("build", { client: "builder", expiresInMs: 60_000 }),
    );
    // It releases nothing of this start itself.
    before.leases.releaseEarlier();
    expect(before.leases.list()).toHaveLength(2);
    const { leases, collector } = await it.restart();
    leases.create("pull again");
    expect(new Map(leases.list().map(({ label, owner }) => [label, owner]))).toEqual(
      new Map([
        ["pull", { kind: "engine", current: false }],
        ["build", { kind: "client", name: "builder" }],
        ["pull again", { kind: "engine", current: true }],
      ]),
    );
    expect((await collector.collect()).blobs).toEqual([]);
    leases.releaseEarlier();
    expect(new Set(leases.list().map(({ label }) => label))).toEqual(new Set(["build", "pull again"]));
    expect((await collector.collect()).blobs).toEqual([ofPull]);
  });

  test(`${name}: a client's lease protects its objects until it expires: then a collection removes them, and it accepts no new objects`, async () => {
    const clock = testClock();
    await using it = await open(clock);
    const { leases, content, collector } = it.store;
    const lease = leases.create("build", { client: "builder", expiresInMs: 1000 });
    const { digest } = content.put(bytes("kept"), lease);
    clock.ms += 999;
    expect((await collector.collect()).blobs).toEqual([]);
    leases.extend(lease, 1000);
    clock.ms += 999;
    expect((await collector.collect()).blobs).toEqual([]);
    expect(leases.list()[0]).toMatchObject({ expiresAtMs: clock.ms + 1 });

    clock.ms += 1;
    expect(() => content.put(bytes("late"), lease)).toThrow(failsWith("not-found"));
    expect(() => leases.extend(lease, 1000)).toThrow(failsWith("not-found"));
    // Not collected yet: it is listed but protects nothing.
    expect(leases.list()).toHaveLength(1);
    expect((await collector.collect()).blobs).toContain(digest);
    expect(leases.list()).toEqual([]);
    leases.release(lease);
  });

  test(`${name}: the engine's own leases do not expire, and a client's needs a time`, async () => {
    const clock = testClock();
    await using it = await open(clock);
    const { leases, content, collector } = it.store;
    const lease = leases.create("pull");
    const { digest } = content.put(bytes("kept"), lease);
    clock.ms += 1e12;
    expect((await collector.collect()).blobs).toEqual([]);
    expect(content.info(digest)).toBeDefined();
    expect(() => leases.extend(lease, 1000)).toThrow(failsWith("invalid-argument"));
    for (const expiresInMs of [0, -1, Number.NaN, Infinity])
      expect(() => leases.create("x", { client: "c", expiresInMs })).toThrow(failsWith("invalid-argument"));
    expect(leases.list()).toHaveLength(1);
  });
}
