/** Clients that go away or lie, and a disk that fails: nothing is half visible, and the next client is served. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until, Faults, temporaryDirectory } from "@fathom/base/testing";
import { EngineError } from "@fathom/base";
import { mediaTypes, sha256Digest } from "@fathom/spec";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { openFileStore } from "../storage/file-store.ts";
import { startTestRegistry, type TestRegistry } from "../testing/test-registry.ts";

const directory = temporaryDirectory("registry-faults");
const faults = new Faults();
let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry({ store: faults.wrap("store", await openFileStore(directory.path)) });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

/** Sends the bytes, ends the connection, and resolves when the server has ended it too. */
function sendAndCut(bytes: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(registry.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
    socket.resume();
    socket.end(bytes);
  });
}

const uploads = (): string[] => readdirSync(join(directory.path, "uploads"));
const request = (method: string, path: string, body: string, fields = ""): string =>
  `${method} ${path} HTTP/1.1\r\nHost: r\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;

test("a whole upload that is cut at any byte stores nothing and leaves no upload", async () => {
  const body = "the bytes of a blob";
  const digest = sha256Digest(body);
  const whole = request("POST", `/v2/cut/blobs/uploads/?digest=${digest}`, body);
  for (let length = 0; length < whole.length; length++) await sendAndCut(whole.slice(0, length));
  expect((await registry.fetch("HEAD", `/v2/cut/blobs/${digest}`)).status).toBe(404);
  await until("no upload is left", () => uploads().length === 0);
  await sendAndCut(whole);
  await until(
    "the whole one is stored",
    async () => (await registry.fetch("HEAD", `/v2/cut/blobs/${digest}`)).status === 200,
  );
});

test("a chunk that is cut at any byte: the status says what arrived, and the upload goes on from there", async () => {
  const text = "0123456789";
  const start = await registry.fetch("POST", "/v2/resume/blobs/uploads/");
  const location = start.headers.get("location")!;
  const offset = async (): Promise<number> => {
    const range = (await registry.fetch("GET", location)).headers.get("range")!;
    return Number(range.split("-")[1]) + 1;
  };
  await registry.fetch("PATCH", location, { body: "0" });
  for (let at = 1; at < text.length; at++) {
    const whole = request("PATCH", location, text.slice(at), `Content-Range: ${at}-${text.length - 1}\r\n`);
    await sendAndCut(whole.slice(0, whole.length - (text.length - at) + 1));
    await until(`${at + 1} bytes arrived`, async () => (await offset()) === at + 1);
  }
  const put = await registry.fetch("PUT", `${location}?digest=${sha256Digest(text)}`);
  expect(put.status).toBe(201);
});

test("a manifest that is cut at any byte changes no tag", async () => {
  const config = await registry.pushBlob("m", "{}");
  const value = {
    schemaVersion: 2,
    config: { mediaType: mediaTypes.ociConfig, digest: config, size: 2 },
    layers: [],
  };
  const body = JSON.stringify(value);
  const whole = request("PUT", "/v2/m/manifests/v1", body, `Content-Type: ${mediaTypes.ociManifest}\r\n`);
  for (let length = 0; length < whole.length; length++) await sendAndCut(whole.slice(0, length));
  expect((await registry.fetch("HEAD", "/v2/m/manifests/v1")).status).toBe(404);
  await sendAndCut(whole);
  await until(
    "the whole one is there",
    async () => (await registry.fetch("HEAD", "/v2/m/manifests/v1")).status === 200,
  );
});

test("two requests cannot write to one upload at once: the second one is 409", async () => {
  const start = await registry.fetch("POST", "/v2/two/blobs/uploads/");
  const location = start.headers.get("location")!;
  const socket = connect(registry.port, "127.0.0.1");
  socket.write(request("PATCH", location, "x".repeat(600_000)).slice(0, -1));
  await until(
    "the first one writes",
    async () => (await registry.fetch("GET", location)).headers.get("range") !== "0-0",
  );
  const second = await registry.fetch("PATCH", location, { body: "other" });
  expect(second.status).toBe(409);
  expect(await second.json()).toMatchObject({ errors: [{ code: "BLOB_UPLOAD_INVALID" }] });
  socket.destroy();
});

test("a full disk is 507 at each step, an unexpected error 500 without its words, and the next try succeeds", async () => {
  const full = new EngineError("resource-exhausted", "the registry's disk is full");
  for (const call of ["store.beginUpload", "store.writeUpload", "store.commitUpload"])
    for (const [error, status] of [
      [full, 507],
      [new Error("secret path"), 500],
    ] as const) {
      faults.failNext(call, error);
      const path = `/v2/full/blobs/uploads/?digest=${sha256Digest("x")}`;
      const response = await registry.fetch("POST", path, { body: "x" });
      expect(response.status).toBe(status);
      expect(await response.text()).not.toContain("secret");
      expect(faults.done).toBe(true);
      expect((await registry.fetch("HEAD", `/v2/full/blobs/${sha256Digest("x")}`)).status).toBe(404);
    }
  await registry.pushBlob("full", "x");
  await until("no upload of a failed push is left", () => uploads().length <= 1);
});

test("an audit log that cannot be written ends neither the answer nor the registry", async () => {
  const audit = {
    write: () => {
      throw new Error("the disk of the log is full");
    },
    [Symbol.dispose]: () => undefined,
  };
  await using other = await startTestRegistry({ audit });
  await other.pushBlob("r", "one");
  await other.pushBlob("r", "two");
});

test("a stored blob that is too short breaks the answer off", async () => {
  const digest = await registry.pushBlob("short", "complete");
  faults.failNext("store.readBlob", new EngineError("data-loss", "too short"));
  const failed = registry.fetch("GET", `/v2/short/blobs/${digest}`).then((response) => response.text());
  await expect(failed).rejects.toThrow();
});
