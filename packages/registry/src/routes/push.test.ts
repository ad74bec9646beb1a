/** What the distribution-spec asks of a registry for pushes of blobs: section "Push". */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { sha256Digest } from "@fathom/spec";
import { startTestRegistry, type TestRegistry } from "../testing/test-registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
});

async function code(response: Response): Promise<unknown> {
  const body = (await response.json()) as { errors: { code: string }[] };
  return [response.status, body.errors[0]!.code];
}

async function begin(repository = "r"): Promise<string> {
  const response = await registry.fetch("POST", `/v2/${repository}/blobs/uploads/`);
  expect(response.status).toBe(202);
  expect(response.headers.get("docker-upload-uuid")).not.toBeNull();
  expect(response.headers.get("range")).toBe("0-0");
  return response.headers.get("location")!;
}

const patch = (location: string, body: string, range?: string): Promise<Response> =>
  registry.fetch("PATCH", location, { body, headers: range === undefined ? {} : { "Content-Range": range } });

async function stored(repository: string, text: string): Promise<void> {
  const response = await registry.fetch("GET", `/v2/${repository}/blobs/${sha256Digest(text)}`);
  expect(response.status).toBe(200);
  expect(await response.text()).toBe(text);
}

describe("whole blobs (end-4b, end-4a with end-6)", () => {
  test("POST with a digest stores the body", async () => {
    const digest = sha256Digest("one");
    const response = await registry.fetch("POST", `/v2/r/blobs/uploads/?digest=${digest}`, { body: "one" });
    expect(response.status).toBe(201);
    expect(response.headers.get("location")).toBe(`/v2/r/blobs/${digest}`);
    expect(response.headers.get("docker-content-digest")).toBe(digest);
    await stored("r", "one");
  });
  test("POST, then PUT with the body", async () => {
    const location = await begin();
    const digest = sha256Digest("two");
    const response = await registry.fetch("PUT", `${location}?digest=${digest}`, { body: "two" });
    expect(response.status).toBe(201);
    expect(response.headers.get("location")).toBe(`/v2/r/blobs/${digest}`);
    await stored("r", "two");
    expect(await code(await registry.fetch("GET", location))).toEqual([404, "BLOB_UPLOAD_UNKNOWN"]);
  });
  test("a digest that the bytes do not have is 400 DIGEST_INVALID, and nothing is stored", async () => {
    const wrong = sha256Digest("expected");
    const post = await registry.fetch("POST", `/v2/r/blobs/uploads/?digest=${wrong}`, { body: "other" });
    expect(await code(post)).toEqual([400, "DIGEST_INVALID"]);
    const put = await registry.fetch("PUT", `${await begin()}?digest=${wrong}`, { body: "other" });
    expect(await code(put)).toEqual([400, "DIGEST_INVALID"]);
    for (const text of ["expected", "other"])
      expect((await registry.fetch("HEAD", `/v2/r/blobs/${sha256Digest(text)}`)).status).toBe(404);
  });
  test("a malformed digest is 400, and the upload can still end", async () => {
    expect(await code(await registry.fetch("POST", "/v2/r/blobs/uploads/?digest=sha256:x", { body: "y" }))).toEqual([
      400,
      "DIGEST_INVALID",
    ]);
    const location = await begin();
    expect(await code(await registry.fetch("PUT", `${location}?digest=x`, { body: "three" }))).toEqual([
      400,
      "DIGEST_INVALID",
    ]);
    const again = await registry.fetch("PUT", `${location}?digest=${sha256Digest("three")}`, { body: "three" });
    expect(again.status).toBe(201);
  });
  test("a blob of sha512", async () => {
    const digest = `sha512:${new Bun.CryptoHasher("sha512").update("x").digest("hex")}`;
    const response = await registry.fetch("POST", `/v2/r/blobs/uploads/?digest=${digest}`, { body: "x" });
    expect(response.status).toBe(201);
    expect((await registry.fetch("GET", `/v2/r/blobs/${digest}`)).status).toBe(200);
  });
  test("digest-algorithm: a known one begins an upload, another is 400", async () => {
    expect((await registry.fetch("POST", "/v2/r/blobs/uploads/?digest-algorithm=sha512")).status).toBe(202);
    expect((await registry.fetch("POST", "/v2/r/blobs/uploads/?digest-algorithm=md5")).status).toBe(400);
  });
});

describe("chunks (end-5, end-6, end-13)", () => {
  test("chunks in order, with the place after each, and the last one in the PUT", async () => {
    const location = await begin();
    const first = await patch(location, "0123", "0-3");
    expect(first.status).toBe(202);
    expect(first.headers.get("range")).toBe("0-3");
    expect(first.headers.get("location")).toBe(location);
    expect((await patch(location, "45", "4-5")).headers.get("range")).toBe("0-5");
    const status = await registry.fetch("GET", location);
    expect([status.status, status.headers.get("range"), status.headers.get("location")]).toEqual([
      204,
      "0-5",
      location,
    ]);
    const put = await registry.fetch("PUT", `${location}?digest=${sha256Digest("0123456")}`, {
      body: "6",
      headers: { "Content-Range": "6-6" },
    });
    expect(put.status).toBe(201);
    await stored("r", "0123456");
  });
  test("a stream without Content-Range is appended", async () => {
    const location = await begin();
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from("streamed "));
        controller.enqueue(Buffer.from("bytes"));
        controller.close();
      },
    });
    expect((await registry.fetch("PATCH", location, { body })).status).toBe(202);
    const digest = sha256Digest("streamed bytes");
    expect((await registry.fetch("PUT", `${location}?digest=${digest}`)).status).toBe(201);
    await stored("r", "streamed bytes");
  });
  test("a chunk out of order is 416 with the place where to go on; then the upload goes on", async () => {
    const location = await begin();
    await patch(location, "0123", "0-3");
    for (const range of ["0-3", "5-8", "3-6"]) {
      const response = await patch(location, "4567", range);
      expect(response.status).toBe(416);
      expect(response.headers.get("range")).toBe("0-3");
      expect(response.headers.get("location")).toBe(location);
    }
    expect((await patch(location, "4567", "4-7")).status).toBe(202);
    const put = await registry.fetch("PUT", `${location}?digest=${sha256Digest("01234567")}`);
    expect(put.status).toBe(201);
  });
  test("a last chunk out of order is 416 too", async () => {
    const location = await begin();
    const init = { body: "x", headers: { "Content-Range": "5-5" } };
    expect((await registry.fetch("PUT", `${location}?digest=${sha256Digest("x")}`, init)).status).toBe(416);
  });
  test("a Content-Range that is malformed or has another size than the body is rejected before a byte counts", async () => {
    const location = await begin();
    expect(await code(await patch(location, "0123", "0-9"))).toEqual([400, "SIZE_INVALID"]);
    for (const range of ["x", "3-1", "0"])
      expect(await code(await patch(location, "0123", range))).toEqual([400, "BLOB_UPLOAD_INVALID"]);
    expect((await registry.fetch("GET", location)).headers.get("range")).toBe("0-0");
  });
});

describe("the end of an upload", () => {
  test("DELETE cancels it: 204, then 404 for everything", async () => {
    const location = await begin();
    await patch(location, "x");
    expect((await registry.fetch("DELETE", location)).status).toBe(204);
    const digest = sha256Digest("x");
    const answers = [
      await registry.fetch("DELETE", location),
      await registry.fetch("GET", location),
      await patch(location, "y"),
      await registry.fetch("PUT", `${location}?digest=${digest}`),
    ];
    for (const response of answers) expect(await code(response)).toEqual([404, "BLOB_UPLOAD_UNKNOWN"]);
  });
  test("an upload of another repository, and an id that none can have, are unknown", async () => {
    const location = await begin("r");
    const elsewhere = location.replace("/v2/r/", "/v2/other/");
    for (const path of [elsewhere, "/v2/r/blobs/uploads/..", "/v2/r/blobs/uploads/x", "/v2/r/blobs/uploads/%2e%2e"])
      expect((await registry.fetch("PATCH", path, { body: "x" })).status).not.toBe(202);
    expect(await code(await registry.fetch("GET", elsewhere))).toEqual([404, "BLOB_UPLOAD_UNKNOWN"]);
  });
});

describe("mount (end-11)", () => {
  test("a blob of another repository: 201 without an upload", async () => {
    const digest = await registry.pushBlob("from/here", "shared");
    const response = await registry.fetch("POST", `/v2/to/blobs/uploads/?mount=${digest}&from=from/here`);
    expect(response.status).toBe(201);
    expect(response.headers.get("location")).toBe(`/v2/to/blobs/${digest}`);
    await stored("to", "shared");
  });
  test("what cannot be mounted begins an upload: 202", async () => {
    const absent = sha256Digest("absent");
    for (const query of [
      `mount=${absent}&from=from/here`,
      `mount=${absent}&from=none`,
      `mount=${absent}`,
      `mount=x&from=r`,
      `mount=${absent}&from=../r`,
    ]) {
      const response = await registry.fetch("POST", `/v2/to/blobs/uploads/?${query}`);
      expect(response.status).toBe(202);
      expect(response.headers.get("location")).toStartWith("/v2/to/blobs/uploads/");
    }
  });
});

describe("delete (end-10)", () => {
  test("a blob goes from its repository alone", async () => {
    const digest = await registry.pushBlob("del", "deleted");
    await registry.fetch("POST", `/v2/keeps/blobs/uploads/?mount=${digest}&from=del`);
    expect((await registry.fetch("DELETE", `/v2/del/blobs/${digest}`)).status).toBe(202);
    expect(await code(await registry.fetch("GET", `/v2/del/blobs/${digest}`))).toEqual([404, "BLOB_UNKNOWN"]);
    expect(await code(await registry.fetch("DELETE", `/v2/del/blobs/${digest}`))).toEqual([404, "BLOB_UNKNOWN"]);
    await stored("keeps", "deleted");
  });
});
