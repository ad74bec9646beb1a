/** What every `Collector` does. Each implementation and each fake runs it. */
import { expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import type { ChainId, Digest } from "@fathom/spec";
import type { OpenStoreUnderTest } from "./store-under-test.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const failsWith = (code: string): unknown => expect.objectContaining({ code });

export function collectorSuite(name: string, open: OpenStoreUnderTest): void {
  test(`${name}: each root of the store protects its own objects, and objects that no root reaches are removed`, async () => {
    await using it = await open(systemClock);
    const { content, collector, images, layers, leases } = it.store;
    const lease = leases.create("pull");
    const put = (text: string) => content.put(bytes(text), lease);
    const [config, blob, manifest, index, attestation, leased, loose] = [
      "{}",
      "layer blob",
      "manifest",
      "index",
      "attestation",
      "leased",
      "loose",
    ].map((text) => put(text).digest) as [Digest, Digest, Digest, Digest, Digest, Digest, Digest];
    const base = it.addLayer(lease, undefined, "base");
    const top = it.addLayer(lease, base.chainId, "top");
    const side = it.addLayer(lease, base.chainId, "side");
    const record = { id: config, layers: [base.chainId, top.chainId], blobs: [blob], manifests: [manifest] };
    images.put({ ...record, storedAt: "2026-01-01T00:00:00Z", size: 1, parent: undefined }, lease);
    const target = { digest: index, size: 5, mediaType: "application/vnd.oci.image.index.v1+json" };
    images.tag({ name: "a:1", target, images: [config], content: [attestation] });
    expect(await collector.collect()).toEqual({ blobs: [], layers: [], reclaimedBytes: 0 });

    // Leases.
    const other = leases.create("build", { client: "builder", expiresInMs: 60_000 });
    content.put(bytes("leased"), other);
    leases.release(lease);
    const first = await collector.collect();
    expect(first).toEqual({ blobs: [loose], layers: [side.chainId], reclaimedBytes: side.size + 5 });
    expect(content.info(leased)).toBeDefined();
    leases.release(other);
    expect((await collector.collect()).blobs).toEqual([leased]);

    // Images: the name's target and its other content are removed with the name, the rest with the image.
    images.untag("a:1");
    expect(new Set((await collector.collect()).blobs)).toEqual(new Set([index, attestation]));
    images.remove(config);
    const last = await collector.collect();
    expect(new Set(last.blobs)).toEqual(new Set([config, blob, manifest]));
    expect(last.layers).toEqual([top.chainId, base.chainId]);
    expect([content.list(), layers.list()]).toEqual([[], []]);
  });

  test(`${name}: a snapshot protects the layers below it`, async () => {
    await using it = await open(systemClock);
    const { collector, leases, snapshots } = it.store;
    const lease = leases.create("test");
    const low = it.addLayer(lease, undefined, "low");
    const high = it.addLayer(lease, low.chainId, "high");
    const side = it.addLayer(lease, low.chainId, "side");
    snapshots.prepare("container", high.chainId, "container");
    snapshots.view("mount", low.chainId, "image-mount");
    leases.release(lease);
    expect((await collector.collect()).layers).toEqual([side.chainId]);
    await snapshots.remove("container");
    expect((await collector.collect()).layers).toEqual([high.chainId]);
    await snapshots.remove("mount");
    expect((await collector.collect()).layers).toEqual([low.chainId]);
  });

  test(`${name}: a registered root protects its objects until it is disposed`, async () => {
    await using it = await open(systemClock);
    const { content, collector, leases, layers } = it.store;
    const lease = leases.create("test");
    const { digest } = content.put(bytes("of a builder"), lease);
    const low = it.addLayer(lease, undefined, "low");
    const high = it.addLayer(lease, low.chainId, "high");
    leases.release(lease);
    let blobs: readonly Digest[] = [digest];
    let needed: readonly ChainId[] = [high.chainId];
    {
      using _root = collector.root("builder", () => ({ blobs, layers: needed }));
      expect(() => collector.root("builder", () => ({}))).toThrow(failsWith("conflict"));
      expect(await collector.collect()).toMatchObject({ blobs: [], layers: [] });
      // It is asked at each collection. It need not name the layers below.
      needed = [low.chainId];
      expect((await collector.collect()).layers).toEqual([high.chainId]);
      blobs = [];
      expect((await collector.collect()).blobs).toEqual([digest]);
      expect(layers.get(low.chainId)).toBeDefined();
    }
    expect((await collector.collect()).layers).toEqual([low.chainId]);
    using _again = collector.root("builder", () => ({}));
  });

  test(`${name}: when a root cannot say what it needs, nothing is collected, and the error names the root`, async () => {
    await using it = await open(systemClock);
    const { content, collector, leases } = it.store;
    const lease = leases.create("test");
    content.put(bytes("loose"), lease);
    leases.release(lease);
    using _root = collector.root("builder", () => {
      throw new Error("not opened yet");
    });
    await expect(collector.collect()).rejects.toThrow("the root builder cannot say what it needs: not opened yet");
    expect(content.list()).toHaveLength(1);
  });

  test(`${name}: a blob that is stored again, and not recorded yet, survives all collections`, async () => {
    await using it = await open(systemClock);
    const { content, collector, leases } = it.store;
    const data = bytes("shared by two pulls");
    const first = leases.create("first");
    const { digest, size } = content.put(data, first);
    leases.release(first);
    // Another thread stores the same blob while nothing reaches the row.
    const writer = content.writer({ digest, size });
    writer.write(data);
    const info = writer.commit();
    for (let round = 0; round < 3; round++) expect((await collector.collect()).blobs).toEqual([]);
    const second = leases.create("second");
    content.record(info, second);
    expect(content.read(digest, 100)).toEqual(Buffer.from(data));
    leases.release(second);
    expect((await collector.collect()).blobs).toEqual([digest]);
  });
}
