import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256Digest } from "@fathom/spec";
import { bytes, openTestStore, temporaryRoot } from "../testing/test-support.ts";

const data = bytes("some content");
const digest = sha256Digest(data);

test("a blob is there whole or not at all", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const writer = store.content.writer({ digest, size: data.length });
  writer.write(data.subarray(0, 5));
  expect(writer.offset).toBe(5);
  expect(readdirSync(join(root.path, "content/sha256"))).toEqual([]);
  writer.write(data.subarray(5));
  store.content.record(writer.commit(), lease);
  writer.abort();
  expect(store.content.info(digest)).toEqual({ digest, size: data.length });
  expect(readFileSync(store.content.path(digest))).toEqual(Buffer.from(data));
  expect(store.content.read(digest, 100)).toEqual(Buffer.from(data));
  expect(await new Response(store.content.stream(digest, 5)).text()).toBe("content");
  expect(readdirSync(join(root.path, "content/tmp"))).toEqual([]);
});

test.each([
  ["a wrong digest", sha256Digest("other"), data.length, /has the digest/],
  ["too few bytes", digest, data.length + 1, /is 12 bytes long, expected 13/],
  ["too many bytes", digest, data.length - 1, /longer than its 11 bytes/],
])("%s is data-loss and leaves nothing", async (_, expected, size, message) => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const writer = store.content.writer({ digest: expected, size });
  expect(() => {
    writer.write(data);
    writer.commit();
  }).toThrow(expect.objectContaining({ code: "data-loss", message: expect.stringMatching(message) }));
  expect(readdirSync(join(root.path, "content/tmp"))).toEqual([]);
  expect(readdirSync(join(root.path, "content/sha256"))).toEqual([]);
});

test("read has a limit, and notices bytes that changed on disk", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  store.content.put(data, lease);
  expect(store.content.put(data, lease).size).toBe(data.length);
  expect(() => store.content.read(digest, 5)).toThrow(expect.objectContaining({ code: "resource-exhausted" }));
  expect(() => store.content.read(sha256Digest("x"), 5)).toThrow(expect.objectContaining({ code: "not-found" }));
  writeFileSync(store.content.path(digest), "some c0ntent");
  expect(() => store.content.read(digest, 100)).toThrow(expect.objectContaining({ code: "data-loss" }));
});

test("a released lease protects nothing more, and says so", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("pull x");
  expect(store.leases.list().map(({ label }) => label)).toEqual(["pull x"]);
  store.leases.release(lease);
  expect(store.leases.list()).toEqual([]);
  expect(() => store.content.put(data, lease)).toThrow(/was released/);
  expect(store.content.list()).toEqual([]);
});
