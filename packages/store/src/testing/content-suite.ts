/** What every `ContentStore` does. Each implementation and each fake runs it. */
import { expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import { sha256Digest } from "@fathom/spec";
import type { OpenStoreUnderTest } from "./store-under-test.ts";

const data = new TextEncoder().encode("some content");
const digest = sha256Digest(data);
const failsWith = (code: string): unknown => expect.objectContaining({ code });

export function contentSuite(name: string, open: OpenStoreUnderTest): void {
  test(`${name}: a recorded blob is complete`, async () => {
    await using it = await open(systemClock);
    const { content, leases } = it.store;
    const lease = leases.create("test");
    const writer = content.writer({ digest, size: data.length });
    writer.write(data.subarray(0, 5));
    expect(writer.offset).toBe(5);
    expect(content.info(digest)).toBeUndefined();
    writer.write(data.subarray(5));
    writer.verify();
    const info = writer.commit();
    expect(info).toEqual({ digest, size: data.length });
    expect(() => writer.commit()).toThrow(failsWith("internal"));
    writer.abort();
    expect(() => content.read(digest, 100)).toThrow(failsWith("not-found"));
    content.record(info, lease);
    expect(content.info(digest)).toEqual(info);
    expect(content.read(digest, 100)).toEqual(Buffer.from(data));
    expect(content.path(digest)).toEndWith(`/content/sha256/${digest.slice("sha256:".length)}`);
    expect(await new Response(content.stream(digest)).text()).toBe("some content");
    expect(await new Response(content.stream(digest, 5)).text()).toBe("content");
    // Once more: nothing changes.
    expect(content.put(data, lease)).toEqual(info);
    expect(content.list()).toEqual([info]);
  });

  test.each([
    ["a wrong digest", sha256Digest("other"), data.length],
    ["too few bytes", digest, data.length + 1],
    ["too many bytes", digest, data.length - 1],
  ])(`${name}: %s is data-loss, and nothing is stored`, async (_, expected, size) => {
    await using it = await open(systemClock);
    const { content, leases } = it.store;
    const writer = content.writer({ digest: expected, size });
    expect(() => {
      writer.write(data);
      writer.commit();
    }).toThrow(failsWith("data-loss"));
    expect(() => content.record({ digest: expected, size }, leases.create("test"))).toThrow(failsWith("internal"));
    expect(content.list()).toEqual([]);
  });

  test(`${name}: an aborted blob is not stored`, async () => {
    await using it = await open(systemClock);
    const writer = it.store.content.writer({ digest, size: data.length });
    writer.write(data);
    writer.abort();
    writer.abort();
    expect(() => writer.commit()).toThrow(failsWith("internal"));
    expect(it.store.content.list()).toEqual([]);
  });

  test(`${name}: a blob that does not exist, is too large or has changed is an error`, async () => {
    await using it = await open(systemClock);
    const { content, leases } = it.store;
    for (const ask of [() => content.read(digest, 100), () => content.path(digest), () => content.stream(digest)])
      expect(ask).toThrow(failsWith("not-found"));
    content.put(data, leases.create("test"));
    expect(() => content.read(digest, data.length - 1)).toThrow(failsWith("resource-exhausted"));
    it.damage(digest);
    expect(() => content.read(digest, 100)).toThrow(failsWith("data-loss"));
  });

  test(`${name}: nothing can be stored under a released lease`, async () => {
    await using it = await open(systemClock);
    const { content, leases } = it.store;
    const lease = leases.create("test");
    leases.release(lease);
    expect(() => content.put(data, lease)).toThrow(failsWith("not-found"));
    expect(content.list()).toEqual([]);
  });
}
