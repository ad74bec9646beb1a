/** Random requests, good ones with errors in them: no answer is 500, and each error has the form of the spec. A failure names the seed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomFrom, temporaryDirectory } from "@fathom/base/testing";
import { mediaTypes, sha256Digest } from "@fathom/spec";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { openFileStore } from "../storage/file-store.ts";
import { startTestRegistry, type TestRegistry } from "../testing/test-registry.ts";

const seed = Number(process.env["FATHOM_FUZZ_SEED"] ?? 20_261_130);
const count = Number(process.env["FATHOM_FUZZ_COUNT"] ?? 3000);
const directory = temporaryDirectory("registry-fuzz");
let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry({ store: await openFileStore(join(directory.path, "root")) });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const digest = sha256Digest("{}");
const parts = [
  "a",
  "b/c",
  "blobs",
  "manifests",
  "uploads",
  "tags",
  "list",
  "referrers",
  "..",
  "%2e%2e",
  "%2F",
  "%00",
  "%ff",
  "%",
  "_links",
  "",
  "A",
  digest,
  "sha512:x",
  "v1",
  crypto.randomUUID(),
  "constructor",
  "x".repeat(300),
];
const shapes = [
  "NAME/manifests/REF",
  "NAME/blobs/REF",
  "NAME/blobs/uploads/",
  "NAME/blobs/uploads/REF",
  "NAME/tags/list",
  "NAME/referrers/REF",
  "_catalog",
  "NAME",
  "NAME/REF/NAME",
];
const queries = [
  "",
  "?digest=REF",
  "?mount=REF&from=NAME",
  "?n=REF&last=NAME",
  "?artifactType=REF",
  "?tag=REF",
  "?%",
  "?n=-1",
  "?n=99999999999999999999",
  "?digest-algorithm=REF",
];
const fields = ["Content-Range", "Range", "Content-Type", "If-None-Match", "Authorization", "Accept"];
const values = [
  "0-1",
  "bytes=0-",
  "bytes=-0",
  "bytes=9999999999999999-",
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  "*",
  "Bearer x",
  "",
  '"',
  "1-0",
];
const bodies = [
  "",
  "{}",
  "[]",
  "null",
  '{"schemaVersion":2}',
  '{"schemaVersion":2,"config":null,"layers":[null]}',
  '{"schemaVersion":2,"manifests":[{}]}',
  `{"schemaVersion":2,"manifests":[],"subject":{"mediaType":"","digest":"${digest}","size":1}}`,
  '{"__proto__":{"a":1}}',
  "\u0000",
  "x".repeat(70_000),
];
const methods = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];

test(`no request is answered with 500, and nothing is written outside of the root (seed ${seed})`, async () => {
  const random = randomFrom(seed);
  for (let n = 0; n < count; n++) {
    const filled = (text: string): string => text.replace(/NAME|REF/g, () => random.pick(parts));
    const method = random.pick(methods);
    const path = `/v2/${filled(random.pick(shapes))}${filled(random.pick(queries))}`;
    const headers: Record<string, string> = {};
    for (let more = random.below(3); more > 0; more--) headers[random.pick(fields)] = random.pick(values);
    const body = method === "GET" || method === "HEAD" ? undefined : random.pick(bodies);
    const response = await registry.fetch(method, path, { headers, ...(body === undefined ? {} : { body }) });
    const text = await response.text();
    const request = `${method} ${path} ${JSON.stringify(headers)} ${body?.slice(0, 200)}`;
    expect({ request, wrong: response.status >= 500 }).toEqual({ request, wrong: false });
    if (response.status >= 400 && text !== "")
      expect({ request, error: JSON.parse(text) }).toEqual({
        request,
        error: { errors: [expect.objectContaining({ code: expect.any(String), message: expect.any(String) })] },
      });
  }
  expect(readdirSync(directory.path)).toEqual(["root"]);
  expect(readdirSync(join(directory.path, "root")).toSorted()).toEqual(["blobs", "repositories", "tmp", "uploads"]);
  expect(existsSync(join(directory.path, "root/repositories/_links"))).toBe(false);
});
