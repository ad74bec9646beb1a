import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256Digest } from "@fathom/spec";
import { bytes, openTestStore, temporaryRoot } from "../testing/test-support.ts";

const data = bytes("some content");
const digest = sha256Digest(data);

test("a blob is a file with its digest as name, and it is visible only when complete", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const writer = store.content.writer({ digest, size: data.length });
  writer.write(data.subarray(0, 5));
  expect(readdirSync(join(root.path, "content/sha256"))).toEqual([]);
  writer.write(data.subarray(5));
  store.content.record(writer.commit(), lease);
  writer.abort();
  expect(readFileSync(store.content.path(digest))).toEqual(Buffer.from(data));
  expect(readdirSync(join(root.path, "content/tmp"))).toEqual([]);
});

test.each([
  ["a wrong digest", sha256Digest("other"), data.length, /has the digest/],
  ["too few bytes", digest, data.length + 1, /is 12 bytes long, expected 13/],
  ["too many bytes", digest, data.length - 1, /longer than its 11 bytes/],
])("%s leaves no file", async (_, expected, size, message) => {
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
