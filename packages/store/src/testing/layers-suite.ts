/** Tests of what every `LayerStore` does. Each implementation and each fake runs them. */
import { expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import { chainIds, parseDiffId, sha256Digest, type ChainId, type DiffId } from "@fathom/spec";
import type { Lease } from "../contract.ts";
import type { OpenStoreUnderTest } from "./store-under-test.ts";

const failsWith = (code: string): unknown => expect.objectContaining({ code });
const diffId = (text: string): DiffId => parseDiffId(sha256Digest(text));

export function layersSuite(name: string, open: OpenStoreUnderTest): void {
  test(`${name}: a committed draft gets its place in a chain; a second commit of the same layer returns the existing layer`, async () => {
    await using it = await open(systemClock);
    const { layers, leases } = it.store;
    const lease = leases.create("test");
    // All layers of an image are filled at the same time.
    const [first, second, again] = [layers.draft(), layers.draft(), layers.draft()];
    const low = first.commit(undefined, diffId("low"), 3, lease);
    const high = second.commit(low.chainId, diffId("high"), 4, lease);
    expect([low.chainId, high.chainId]).toEqual(chainIds([diffId("low"), diffId("high")]));
    expect(low).toMatchObject({ cacheId: first.cacheId, diffId: diffId("low"), parent: undefined, size: 3 });
    expect(high).toMatchObject({ parent: low.chainId, diffPath: second.diffPath });
    expect(layers.get(high.chainId)).toEqual(high);
    expect(again.commit(low.chainId, diffId("high"), 4, lease)).toEqual(high);
    expect(new Set(layers.list().map(({ chainId }) => chainId))).toEqual(new Set([low.chainId, high.chainId]));
  });

  test(`${name}: a draft that was aborted or could not be committed leaves no layer and cannot be used again`, async () => {
    await using it = await open(systemClock);
    const { layers, leases } = it.store;
    const lease = leases.create("test");
    const nowhere = chainIds([diffId("nowhere")])[0]!;
    const released: Lease = leases.create("released");
    leases.release(released);
    const aborted = layers.draft();
    aborted.abort();
    aborted.abort();
    expect(() => aborted.commit(undefined, diffId("x"), 0, lease)).toThrow(failsWith("internal"));
    for (const [parent, held] of [
      [nowhere, lease],
      [undefined, released],
    ] as const) {
      const draft = layers.draft();
      expect(() => draft.commit(parent, diffId("x"), 0, held)).toThrow(failsWith("not-found"));
      expect(() => draft.commit(undefined, diffId("x"), 0, lease)).toThrow(failsWith("internal"));
      draft.abort();
    }
    expect(layers.list()).toEqual([]);
    expect(layers.get(nowhere)).toBeUndefined();
    expect(layers.hold(nowhere, lease)).toBe(false);
  });

  test(`${name}: a held layer stays, and so do the layers below it`, async () => {
    await using it = await open(systemClock);
    const { layers, leases, collector } = it.store;
    const pull = leases.create("pull");
    const low = it.addLayer(pull, undefined, "low");
    const high = it.addLayer(pull, low.chainId, "high");
    const other = leases.create("other");
    expect(layers.hold(high.chainId, other)).toBe(true);
    leases.release(pull);
    expect((await collector.collect()).layers).toEqual([]);
    leases.release(other);
    expect(() => layers.hold(high.chainId, other)).toThrow(failsWith("not-found"));
    expect((await collector.collect()).layers).toEqual([high.chainId, low.chainId]);
    expect(layers.list()).toEqual([]);
  });

  test(`${name}: the 126th layer is rejected`, async () => {
    await using it = await open(systemClock);
    const { layers, leases } = it.store;
    const lease = leases.create("test");
    let top: ChainId | undefined;
    for (let index = 0; index < 125; index++) top = layers.draft().commit(top, diffId(String(index)), 0, lease).chainId;
    expect(() => layers.draft().commit(top, diffId("one more"), 0, lease)).toThrow(failsWith("invalid-argument"));
    expect(layers.list()).toHaveLength(125);
  });
}
