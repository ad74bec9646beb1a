import { expect, test } from "bun:test";
import * as fc from "fast-check";
import type { TarKind } from "./entry.ts";
import { readTar } from "./testing/read-tar.ts";
import { TarWriter, type TarEntryInput } from "./writer.ts";

interface Written extends TarEntryInput {
  readonly path: Uint8Array;
  readonly content: Uint8Array;
}

/** The bytes of a name: each character is one byte. */
const bytesOf = (name: string): Uint8Array => Buffer.from(name, "latin1");

function write(entries: readonly Written[]): Buffer {
  const chunks: Uint8Array[] = [];
  const writer = new TarWriter((chunk) => chunks.push(chunk));
  for (const { content, ...entry } of entries) {
    writer.entry({ ...entry, size: content.length });
    if (entry.kind === "file") writer.data(content);
  }
  writer.finish();
  return Buffer.concat(chunks);
}

/** Bytes of a name without NUL; sometimes long, often not UTF-8. */
const name = fc.oneof(
  fc.stringMatching(/^[a-z0-9._-]{1,20}(\/[a-z0-9._-]{1,60}){0,8}$/).map((text) => new Uint8Array(Buffer.from(text))),
  fc.string({ minLength: 1, maxLength: 150, unit: "grapheme" }).map((text) => new Uint8Array(Buffer.from(text))),
  fc.uint8Array({ min: 1, minLength: 1, maxLength: 400 }),
);
const xattr = fc.record({
  name: fc.stringMatching(/^(user|security)\.[a-zA-Z0-9 ü]{1,20}$/),
  value: fc.uint8Array({ maxLength: 100 }),
});
const kinds: TarKind[] = ["file", "directory", "symlink", "hardlink", "character-device", "block-device", "fifo"];
const entry: fc.Arbitrary<Written> = fc.record({
  kind: fc.constantFrom(...kinds),
  // A trailing slash would make a file a directory.
  path: name.map((bytes) => (bytes.at(-1) === 0x2f ? Uint8Array.of(...bytes, 0x61) : bytes)),
  linkPath: name,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.integer({ min: 0, max: 0xffff_fffe })),
  gid: fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.integer({ min: 0, max: 0xffff_fffe })),
  mtimeNs: fc.oneof(
    fc.bigInt({ min: -(10n ** 19n), max: 10n ** 19n }),
    fc.bigInt({ min: 0n, max: 2n ** 35n }).map((seconds) => seconds * 1_000_000_000n),
  ),
  deviceMajor: fc.integer({ min: 0, max: 4095 }),
  deviceMinor: fc.integer({ min: 0, max: 0o7777777 }),
  xattrs: fc.uniqueArray(xattr, { maxLength: 4, selector: ({ name }) => name }),
  content: fc.uint8Array({ maxLength: 2000 }),
});

test("what is written can be read again, in chunks of any size", () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 6 }), fc.integer({ min: 1, max: 3000 }), (entries, step) => {
      const read = readTar(write(entries), step);
      expect(read).toHaveLength(entries.length);
      entries.forEach((one, index) => {
        const got = read[index]!;
        const isLink = one.kind === "symlink" || one.kind === "hardlink";
        const isDevice = one.kind === "character-device" || one.kind === "block-device";
        expect(got.kind).toBe(one.kind);
        expect(Buffer.compare(bytesOf(got.path), one.path)).toBe(0);
        expect(Buffer.compare(bytesOf(got.linkPath), isLink ? (one.linkPath as Uint8Array) : Buffer.alloc(0))).toBe(0);
        expect([got.mode, got.uid, got.gid, got.mtimeNs]).toEqual([one.mode, one.uid!, one.gid!, one.mtimeNs!]);
        if (isDevice) expect([got.deviceMajor, got.deviceMinor]).toEqual([one.deviceMajor!, one.deviceMinor!]);
        expect(Buffer.compare(got.content, one.kind === "file" ? one.content : Buffer.alloc(0))).toBe(0);
        const byName = new Map(got.xattrs.map((xattr) => [xattr.name, Buffer.from(xattr.value).toString("hex")]));
        expect(byName).toEqual(
          new Map(one.xattrs!.map(({ name, value }) => [name, Buffer.from(value).toString("hex")])),
        );
      });
    }),
    { numRuns: 300 },
  );
});

test("the same entries give the same bytes, for any order of the xattrs", () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 3 }), (entries) => {
      const turned = entries.map((one) => ({ ...one, xattrs: one.xattrs!.toReversed() }));
      expect(write(turned).equals(write(entries))).toBe(true);
    }),
    { numRuns: 50 },
  );
});

/** Python's tarfile is an independent reader: it must read the same names, sizes and PAX values. */
const pythonReader = `
import sys, tarfile, io, json
t = tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()), errors="surrogateescape", encoding="utf-8")
out = []
for m in t.getmembers():
    f = t.extractfile(m) if m.isreg() else None
    out.append([m.name.encode("utf-8", "surrogateescape").hex(), m.type.decode(), m.mode, m.uid, m.gid, m.size,
      m.linkname.encode("utf-8", "surrogateescape").hex(), f.read().hex() if f else ""])
print(json.dumps(out))
`;

test.skipIf(Bun.which("python3") === null)("python's tarfile reads the same", () => {
  const types: Record<string, string> = { file: "0", hardlink: "1", symlink: "2", "character-device": "3" };
  Object.assign(types, { "block-device": "4", directory: "5", fifo: "6" });
  // It removes slashes from the ends of names and resolves hard links by name, so both are simple here.
  const simple = fc.tuple(entry, fc.stringMatching(/^[a-z]{1,20}(\/[a-zA-Zäß]{1,90}){0,4}$/)).map(([one, path]) => ({
    ...one,
    path: new Uint8Array(Buffer.from(path)),
    linkPath: new Uint8Array(Buffer.from(path)),
  }));
  const entries = fc.sample(simple, { numRuns: 200, seed: 7 }).filter(({ kind }) => kind !== "hardlink");
  const result = Bun.spawnSync(["python3", "-c", pythonReader], { stdin: write(entries) });
  expect(result.stderr.toString()).toBe("");
  const expected = entries.map(({ kind, path, mode, uid, gid, content, linkPath }) => [
    Buffer.from(path).toString("hex"),
    types[kind],
    mode,
    uid,
    gid,
    kind === "file" ? content.length : 0,
    kind === "symlink" ? Buffer.from(linkPath as Uint8Array).toString("hex") : "",
    kind === "file" ? Buffer.from(content).toString("hex") : "",
  ]);
  const got: unknown = JSON.parse(result.stdout.toString());
  expect(got).toEqual(expected);
});

test("wrong sizes are errors", () => {
  const writer = new TarWriter(() => undefined);
  writer.entry({ kind: "file", path: "a", mode: 0o644, size: 3 });
  expect(() => writer.data(new Uint8Array(4))).toThrow(/more data/);
  writer.data(new Uint8Array(2));
  expect(() => writer.finish()).toThrow(/1 bytes of an entry are missing/);
  expect(() => new TarWriter(() => undefined).entry({ kind: "socket", path: "s", mode: 0 })).toThrow(/socket/);
  expect(() => new TarWriter(() => undefined).entry({ kind: "file", path: "", mode: 0 })).toThrow(/empty/);
});

test("files beyond 8 GiB have a PAX size", () => {
  const chunks: Uint8Array[] = [];
  new TarWriter((chunk) => chunks.push(chunk)).entry({ kind: "file", path: "big", mode: 0o644, size: 2 ** 33 + 1 });
  expect(() => readTar(Buffer.concat(chunks))).toThrow(/unexpected EOF/);
  expect(Buffer.concat(chunks).toString("latin1")).toContain(`size=${2 ** 33 + 1}\n`);
});
