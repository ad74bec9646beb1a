import { afterEach, beforeEach, expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import { failureOf } from "@fathom/base/testing";
import { mediaTypes, parseReference, sha256Digest } from "@fathom/spec";
import { createRegistryClient } from "./client.ts";
import type { BlobToPush } from "./contract.ts";
import { forgetSchemes } from "./endpoints.ts";
import { defaultRegistryConfig } from "./testing/registry-config.ts";
import { respondError, ScriptedRegistry } from "./testing/scripted-registry.ts";

let registry: ScriptedRegistry;
/** Uploads by number, as far as they have come. */
let uploads: Buffer[];
/** How many PUTs break after a part of their bytes. */
let broken: number;
/** What the registry does with a request to mount. */
let mounts: "yes" | "no" | "denied";

beforeEach(async () => {
  forgetSchemes();
  [uploads, broken, mounts] = [[], 0, "no"];
  registry = await ScriptedRegistry.start();
  registry.script = ({ method, path, body }, response) => {
    if (method === "POST" && path.includes("mount=") && mounts === "denied")
      return respondError(response, 403, "DENIED", "requested access to the resource is denied");
    if (method === "POST" && path.includes("mount=") && mounts === "yes") response.writeHead(201);
    else if (method === "POST")
      response.writeHead(202, { location: `/v2/app/blobs/uploads/${uploads.push(Buffer.of()) - 1}` });
    else if (method === "PUT") {
      const number = Number(/uploads\/(\d+)/.exec(path)?.[1]);
      if (broken-- > 0) {
        // It keeps a part, as a real registry does.
        uploads[number] = Buffer.from(body.subarray(0, 3));
        response.socket?.destroy();
        return true;
      }
      uploads[number] = Buffer.concat([uploads[number]!, body]);
      if (sha256Digest(uploads[number]) !== blob.descriptor.digest)
        return respondError(response, 400, "DIGEST_INVALID", "provided digest did not match uploaded content");
      response.writeHead(201);
    } else return false;
    response.end();
    return true;
  };
});
afterEach(() => registry[Symbol.asyncDispose]());

const data = Buffer.from("a layer of some bytes");
const blob: BlobToPush = {
  descriptor: { mediaType: mediaTypes.ociLayer, digest: sha256Digest(data), size: data.length },
  open: () => new Blob([data]).stream(),
};

function push(more: Partial<BlobToPush> = {}) {
  const client = createRegistryClient({
    config: { ...defaultRegistryConfig, proxy: {}, certificateDirectories: [], attempts: 3 },
    clock: {
      ...systemClock,
      nowNs: systemClock.nowNs,
      monotonicMs: systemClock.monotonicMs,
      sleep: async () => undefined,
    },
  });
  return client.pushBlob(parseReference(`${registry.host}/app:1`), { ...blob, ...more });
}

test("an upload that breaks begins anew: the registry may have kept a part of it", async () => {
  broken = 2;
  expect(await push()).toBe("pushed");
  expect(uploads.map(String)).toEqual(["a l", "a l", String(data)]);
});

test("after as many tries as the settings allow, the failure is shown", async () => {
  broken = 3;
  expect(await failureOf(push())).toMatchObject({ code: "unavailable" });
  expect(uploads).toHaveLength(3);
});

test.each([
  ["yes", "mounted", 0],
  // The answer already opens an upload.
  ["no", "pushed", 1],
  ["denied", "pushed", 1],
] as const)("a blob of another repository; the registry mounts it: %s", async (mode, outcome, count) => {
  mounts = mode;
  expect(await push({ mountFrom: "team/other" })).toBe(outcome);
  expect(uploads).toHaveLength(count);
  const asked = registry.requests.filter(({ path }) => path.includes("mount="));
  expect(asked.map(({ path }) => path)).toEqual([
    `/v2/app/blobs/uploads/?${new URLSearchParams({ mount: blob.descriptor.digest, from: "team/other" })}`,
  ]);
});

test("a blob that the repository has is neither mounted nor sent", async () => {
  registry.blobs.set(blob.descriptor.digest, data);
  expect(await push({ mountFrom: "team/other" })).toBe("exists");
  expect(registry.requests.map(({ method }) => method)).toEqual(["HEAD"]);
});
