/** The contract of `RegistryStore` as tests: every store runs it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { isDigest, sha256Digest, type Digest } from "@fathom/spec";
import type { ManifestRow, RegistryStore } from "../contract.ts";

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: RegistryStore;
  /** The same storage as a new process opens it. */
  reopen(): Promise<RegistryStore>;
}

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

async function* thenFails(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
  throw new Error("the client went away");
}

function sha512Digest(text: string): Digest {
  const digest = `sha512:${new Bun.CryptoHasher("sha512").update(text).digest("hex")}`;
  if (!isDigest(digest)) throw new Error("no digest");
  return digest;
}

async function push(store: RegistryStore, repository: string, text: string): Promise<Digest> {
  const id = await store.beginUpload(repository);
  await store.writeUpload(repository, id, pieces(text));
  const digest = sha256Digest(text);
  expect(await store.commitUpload(repository, id, digest)).toEqual({ kind: "stored", bytes: text.length });
  return digest;
}

async function textOf(store: RegistryStore, digest: Digest, start: number, end: number): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of store.readBlob(digest, start, end)) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function digestsOf(store: RegistryStore): Promise<Digest[]> {
  const found: Digest[] = [];
  for await (const { digest } of store.blobs()) found.push(digest);
  return found.toSorted();
}

function rowOf(raw: string, more: Partial<ManifestRow> = {}): ManifestRow {
  return {
    digest: sha256Digest(raw),
    mediaType: "m/t",
    bytes: raw.length,
    references: [],
    pushedAtMs: 1000,
    ...more,
  };
}

/** @param durable Whether the storage outlives its process. */
export function storeSuite(name: string, durable: boolean, make: () => Promise<StoreUnderTest>): void {
  describe(`registry store: ${name}`, () => {
    let tested: StoreUnderTest;
    let store: RegistryStore;
    beforeEach(async () => {
      tested = await make();
      ({ store } = tested);
    });
    afterEach(async () => {
      await tested[Symbol.asyncDispose]();
    });

    test("an upload in pieces becomes a blob of its repository alone", async () => {
      const id = await store.beginUpload("a/b");
      expect(await store.uploadOffset("a/b", id)).toBe(0);
      expect(await store.writeUpload("a/b", id, pieces("he", "l"))).toBe(3);
      expect(await store.writeUpload("a/b", id, pieces("lo"))).toBe(5);
      expect(await store.uploadOffset("a/b", id)).toBe(5);
      const digest = sha256Digest("hello");
      expect(await digestsOf(store)).toEqual([]);
      expect(await store.commitUpload("a/b", id, digest)).toEqual({ kind: "stored", bytes: 5 });
      expect(await store.findBlob("a/b", digest)).toMatchObject({ bytes: 5 });
      expect(await store.findBlob("a", digest)).toBeUndefined();
      expect(await textOf(store, digest, 0, 5)).toBe("hello");
      expect(await textOf(store, digest, 1, 3)).toBe("el");
      expect(await store.uploadOffset("a/b", id)).toBeUndefined();
      expect(await store.repositories()).toEqual(["a/b"]);
    });

    test("many small pieces and large ones arrive in their order", async () => {
      const texts = Array.from({ length: 3000 }, (_, n) => String(n % 10));
      texts.splice(1500, 0, "x".repeat(700_000));
      const id = await store.beginUpload("r");
      await store.writeUpload("r", id, pieces(...texts));
      const text = texts.join("");
      expect(await store.commitUpload("r", id, sha256Digest(text))).toEqual({ kind: "stored", bytes: text.length });
      expect((await textOf(store, sha256Digest(text), 0, text.length)) === text).toBe(true);
    });

    test("a blob of sha512, and an empty one", async () => {
      const id = await store.beginUpload("r");
      await store.writeUpload("r", id, pieces("long"));
      expect(await store.commitUpload("r", id, sha512Digest("long"))).toEqual({ kind: "stored", bytes: 4 });
      const empty = await store.beginUpload("r");
      expect(await store.commitUpload("r", empty, sha256Digest(""))).toEqual({ kind: "stored", bytes: 0 });
      expect(await store.findBlob("r", sha256Digest(""))).toMatchObject({ bytes: 0 });
    });

    test("bytes with another digest are not stored, and the upload ends", async () => {
      const id = await store.beginUpload("r");
      await store.writeUpload("r", id, pieces("other"));
      expect(await store.commitUpload("r", id, sha256Digest("hello"))).toEqual({ kind: "different" });
      expect(await digestsOf(store)).toEqual([]);
      expect(await store.uploadOffset("r", id)).toBeUndefined();
    });

    test("the bytes before an error stay in the upload, and the upload goes on", async () => {
      const id = await store.beginUpload("r");
      await expect(store.writeUpload("r", id, thenFails("hel"))).rejects.toThrow("the client went away");
      expect(await store.uploadOffset("r", id)).toBe(3);
      await store.writeUpload("r", id, pieces("lo"));
      expect(await store.commitUpload("r", id, sha256Digest("hello"))).toEqual({ kind: "stored", bytes: 5 });
    });

    test("an upload belongs to its repository, and can be cancelled once", async () => {
      const id = await store.beginUpload("r");
      expect(await store.uploadOffset("other", id)).toBeUndefined();
      expect(await store.writeUpload("other", id, pieces("x"))).toBeUndefined();
      expect(await store.commitUpload("other", id, sha256Digest(""))).toEqual({ kind: "unknown" });
      expect(await store.cancelUpload("other", id)).toBe(false);
      expect(await store.cancelUpload("r", id)).toBe(true);
      expect(await store.cancelUpload("r", id)).toBe(false);
    });

    test("only one request at a time writes to an upload", async () => {
      const id = await store.beginUpload("r");
      const { promise: released, resolve: release } = Promise.withResolvers<void>();
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
      const slow = async function* (): AsyncGenerator<Uint8Array> {
        begin();
        await released;
        yield Buffer.from("first");
      };
      const writing = store.writeUpload("r", id, slow());
      await begun;
      await expect(store.writeUpload("r", id, pieces("second"))).rejects.toMatchObject({ code: "conflict" });
      await expect(store.commitUpload("r", id, sha256Digest("first"))).rejects.toMatchObject({ code: "conflict" });
      release();
      expect(await writing).toBe(5);
      expect(await store.commitUpload("r", id, sha256Digest("first"))).toMatchObject({ kind: "stored" });
    });

    test("two clients push the same blob: both succeed, and it is stored once", async () => {
      const text = "same".repeat(10_000);
      const results = await Promise.all(["a", "a", "b", "b"].map((repository) => push(store, repository, text)));
      expect(new Set(results).size).toBe(1);
      expect(await digestsOf(store)).toEqual([sha256Digest(text)]);
      expect(await textOf(store, results[0]!, 0, text.length)).toBe(text);
    });

    test("links: another repository gets a blob that is stored, and not one that is absent", async () => {
      const digest = await push(store, "a", "hello");
      expect(await store.linkBlob("b", digest)).toBe(true);
      expect(await store.linkBlob("b", sha256Digest("absent"))).toBe(false);
      expect(await store.unlinkBlob("a", digest)).toBe(true);
      expect(await store.unlinkBlob("a", digest)).toBe(false);
      expect(await store.findBlob("a", digest)).toBeUndefined();
      expect(await store.findBlob("b", digest)).toMatchObject({ bytes: 5 });
      expect((await store.blobLinks("b")).map((link) => link.digest)).toEqual([digest]);
    });

    test("what was touched since a time is neither unlinked nor removed", async () => {
      const digest = await push(store, "a", "hello");
      const { touchedMs } = (await store.findBlob("a", digest))!;
      expect(await store.unlinkBlob("a", digest, touchedMs)).toBe(false);
      expect(await store.removeBlob(digest, touchedMs - 1000)).toBe(false);
      expect(await store.unlinkBlob("a", digest, Date.now() + 60_000)).toBe(true);
      expect(await store.removeBlob(digest, Date.now() + 60_000)).toBe(true);
      expect(await digestsOf(store)).toEqual([]);
      await expect(textOf(store, digest, 0, 5)).rejects.toMatchObject({ code: "not-found" });
    });

    test("uploads that got nothing for long are removed; others stay", async () => {
      const id = await store.beginUpload("r");
      await store.writeUpload("r", id, pieces("x"));
      expect(await store.removeUploads(Date.now() - 60_000)).toBe(0);
      expect(await store.uploadOffset("r", id)).toBe(1);
      expect(await store.removeUploads(Date.now() + 60_000)).toBe(1);
      expect(await store.uploadOffset("r", id)).toBeUndefined();
    });

    test("a manifest has its bytes, row and tags; a tag moves to the next one", async () => {
      const first = rowOf("{1}", { references: [sha256Digest("x")], pushedBy: "anna" });
      await store.putManifest("r", first, Buffer.from("{1}"), ["v1", "latest"]);
      expect(await store.findManifest("r", first.digest)).toEqual(first);
      expect(await textOf(store, first.digest, 0, 3)).toBe("{1}");
      expect(await store.findTag("r", "v1")).toEqual({ digest: first.digest, pushedAtMs: 1000, pushedBy: "anna" });
      const second = rowOf("{2}");
      await store.putManifest("r", second, Buffer.from("{2}"), ["latest"]);
      expect(await store.findTag("r", "latest")).toEqual({ digest: second.digest, pushedAtMs: 1000 });
      expect(await store.tags("r")).toEqual(["latest", "v1"]);
      expect((await store.manifests("r")).map(({ digest }) => digest)).toEqual(
        [first.digest, second.digest].toSorted(),
      );
      expect(await store.findBlob("r", first.digest)).toBeUndefined();
    });

    test("a manifest is deleted with its tags; a tag alone", async () => {
      const first = rowOf("{1}");
      const second = rowOf("{2}");
      await store.putManifest("r", first, Buffer.from("{1}"), ["a", "b"]);
      await store.putManifest("r", second, Buffer.from("{2}"), ["c"]);
      expect(await store.deleteTag("r", "a")).toBe(true);
      expect(await store.deleteTag("r", "a")).toBe(false);
      expect(await store.findManifest("r", first.digest)).toBeDefined();
      expect(await store.deleteManifest("r", first.digest)).toBe(true);
      expect(await store.deleteManifest("r", first.digest)).toBe(false);
      expect(await store.tags("r")).toEqual(["c"]);
    });

    test("referrers of a subject, which need not exist", async () => {
      const subject = sha256Digest("absent");
      const one = rowOf("{1}", { subject, artifactType: "a/b" });
      const two = rowOf("{2}", { subject });
      for (const row of [one, two]) await store.putManifest("r", row, Buffer.from("{1}"), []);
      await store.putManifest("other", rowOf("{3}", { subject }), Buffer.from("{3}"), []);
      expect(await store.referrers("r", subject)).toEqual([one.digest, two.digest].toSorted());
      await store.deleteManifest("r", one.digest);
      expect(await store.referrers("r", subject)).toEqual([two.digest]);
      expect(await store.referrers("r", one.digest)).toEqual([]);
    });

    test("a repository inside the name of another", async () => {
      await push(store, "a/b/c", "x");
      expect(await store.hasRepository("a/b")).toBe(false);
      await store.putManifest("a/b", rowOf("{1}"), Buffer.from("{1}"), ["tags"]);
      await push(store, "a", "y");
      expect(await store.repositories()).toEqual(["a", "a/b", "a/b/c"]);
      expect(await store.hasRepository("a/b")).toBe(true);
      expect(await store.tags("a")).toEqual([]);
    });

    test("tasks of one repository run one after another", async () => {
      const order: string[] = [];
      const { promise: gate, resolve: open } = Promise.withResolvers<void>();
      const first = store.exclusively("r", async () => {
        await gate;
        order.push("first");
      });
      const second = store.exclusively("r", async () => order.push("second"));
      await store.exclusively("other", async () => order.push("other"));
      open();
      await Promise.all([first, second]);
      expect(order).toEqual(["other", "first", "second"]);
    });

    // A store whose content ends with its process has nothing to keep.
    if (!durable) return;
    test("an upload and all content survive the process", async () => {
      const id = await store.beginUpload("r");
      await store.writeUpload("r", id, pieces("hel"));
      const row = rowOf("{1}", { subject: sha256Digest("s") });
      await store.putManifest("r", row, Buffer.from("{1}"), ["v1"]);
      const next = await tested.reopen();
      expect(await next.uploadOffset("r", id)).toBe(3);
      await next.writeUpload("r", id, pieces("lo"));
      expect(await next.commitUpload("r", id, sha256Digest("hello"))).toEqual({ kind: "stored", bytes: 5 });
      expect((await next.findTag("r", "v1"))?.digest).toBe(row.digest);
      expect(await next.referrers("r", sha256Digest("s"))).toEqual([row.digest]);
    });
  });
}
