import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nameText } from "./entry.ts";
import { paxHeader, paxRecord, rawHeader, readTar } from "./testing/read-tar.ts";

let directory: string;
const long = `${"d".repeat(90)}/${"e".repeat(90)}/${"f".repeat(120)}`;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "fathom-tar-"));
  const at = (name: string): string => join(directory, name);
  writeFileSync(at("small"), "hello");
  writeFileSync(at("empty"), "");
  writeFileSync(at("large"), Buffer.alloc(300_000, "abc"));
  linkSync(at("small"), at("hard"));
  symlinkSync("some/where", at("soft"));
  mkdirSync(at(long), { recursive: true });
  writeFileSync(at(`${long}/ünï`), "deep");
  symlinkSync("t".repeat(300), at("longlink"));
  utimesSync(at("small"), 1_600_000_000, 1_600_000_000);
  const fd = openSync(at("sparse"), "w");
  for (let piece = 0; piece < 40; piece++) writeSync(fd, `piece ${piece}`, piece * 65_536);
  ftruncateSync(fd, 4_000_000);
  closeSync(fd);
});
afterAll(() => rmSync(directory, { recursive: true }));

function gnuTar(...args: string[]): Buffer {
  const result = Bun.spawnSync(["tar", "-C", directory, "--sort=name", ...args, "-cf", "-", "."]);
  if (result.exitCode !== 0) throw new Error(result.stderr.toString());
  return Buffer.from(result.stdout);
}

describe.each([
  ["gnu", []],
  ["oldgnu", []],
  ["posix", []],
  ["gnu", ["--sparse"]],
  ["posix", ["--sparse", "--sparse-version=0.0"]],
  ["posix", ["--sparse", "--sparse-version=0.1"]],
  ["posix", ["--sparse", "--sparse-version=1.0"]],
])("GNU tar --format=%s %p", (format, extra) => {
  test.each([1, 511, 512, 513, 10_000, 1 << 24])("in chunks of %d", (step) => {
    const archive = gnuTar(`--format=${format}`, "--owner=someone:3000000", "--group=some:5", ...extra);
    if (step === 1 && archive.length > 2_000_000) return;
    const entries = readTar(archive, step);
    const byName = new Map(entries.map((entry) => [nameText(entry.path), entry]));
    expect(entries.every(({ uid, gid }) => uid === 3_000_000 && gid === 5)).toBe(true);
    const hard = byName.get("./small")!;
    const first = byName.get("./hard")!;
    expect([first.kind, first.content.toString()]).toEqual(["file", "hello"]);
    expect([hard.kind, hard.linkPath as string]).toEqual(["hardlink", "./hard"]);
    expect(first.mtimeNs).toBe(1_600_000_000_000_000_000n);
    expect(byName.get("./soft")).toMatchObject({ kind: "symlink", linkPath: "some/where" });
    expect(byName.get("./longlink")?.linkPath as string).toBe("t".repeat(300));
    expect(byName.get("./large")?.content.equals(readFileSync(join(directory, "large")))).toBe(true);
    expect(byName.get(`./${long}/ünï`)?.content.toString()).toBe("deep");
    expect(byName.get(`./${long}/`)?.kind).toBe("directory");
    const sparse = byName.get("./sparse")!;
    expect(sparse.content.equals(readFileSync(join(directory, "sparse")))).toBe(true);
    expect(sparse.sparse).toBe(extra.length > 0);
    if (extra.length > 0) expect(sparse.stored).toBeLessThan(1_000_000);
  });
});

test("v7 archives: directories by their slash", () => {
  const archive = Bun.spawnSync([
    "tar",
    "-C",
    directory,
    "--format=v7",
    "-cf",
    "-",
    "small",
    "--transform=s,^,d/,",
  ]).stdout;
  expect(readTar(archive)).toMatchObject([{ kind: "file", path: "d/small" }]);
  expect(readTar(rawHeader([0, "dir/"], [156, "\0"]))).toMatchObject([{ kind: "directory", path: "dir/" }]);
});

test("ustar prefix, PAX times, binary xattrs, global headers", () => {
  const value = "\x00\x01=\n\xff";
  const archive = Buffer.concat([
    paxHeader(paxRecord("uname", "everyone") + paxRecord("mtime", "5.5"), "g"),
    paxHeader(
      paxRecord("mtime", "1700000000.1234567891") +
        paxRecord("SCHILY.xattr.security.capability", value) +
        paxRecord("uid", "4294967294") +
        paxRecord("LIBARCHIVE.xattr.user.a%20b", Buffer.from("x").toString("base64")),
    ),
    rawHeader([0, "name"], [345, "some/prefix"]),
    rawHeader([0, "second"]),
    paxHeader(paxRecord("mtime", "-1.25") + paxRecord("uname", "")),
    rawHeader([0, "third"]),
  ]);
  const [first, second, third] = readTar(archive, 100);
  expect(first).toMatchObject({ path: "some/prefix/name", mtimeNs: 1_700_000_000_123_456_789n, uid: 4_294_967_294 });
  expect(first!.userName as string).toBe("everyone");
  expect(first!.xattrs.map(({ name, value }) => [name, Buffer.from(value).toString("latin1")])).toEqual([
    ["security.capability", value],
    ["user.a b", "x"],
  ]);
  expect(second).toMatchObject({ path: "second", mtimeNs: 5_500_000_000n, xattrs: [] });
  expect(third).toMatchObject({ mtimeNs: -1_250_000_000n });
});

test("times are exact at any distance", () => {
  const seconds = 2n ** 63n;
  const field = Buffer.alloc(12);
  field.writeBigUInt64BE(seconds, 4);
  field[0] = 0x80;
  const archive = Buffer.concat([
    rawHeader([0, "header"], [136, field.toString("latin1")]),
    paxHeader(paxRecord("mtime", String(seconds))),
    rawHeader([0, "pax"]),
  ]);
  for (const entry of readTar(archive)) expect(entry.mtimeNs).toBe(seconds * 1_000_000_000n);
});

test("an archive without end marker, with data after it, or empty", () => {
  expect(readTar(rawHeader([0, "a"]))).toHaveLength(1);
  expect(readTar(Buffer.concat([rawHeader([0, "a"]), Buffer.alloc(1024), Buffer.from("whatever")]))).toHaveLength(1);
  expect(readTar(Buffer.alloc(10_240), 100)).toEqual([]);
  expect(readTar(Buffer.alloc(0), 1)).toEqual([]);
});

test("an archive that is cut at any place gives an unexpected EOF, or ends after a whole entry", () => {
  const archive = Buffer.concat([
    paxHeader(paxRecord("path", "a")),
    rawHeader([0, "x"], [124, "00000001000"]),
    Buffer.alloc(512, "d"),
    rawHeader([0, "b"]),
  ]);
  for (let length = 1; length < archive.length; length++) {
    if (length === archive.length - 512) expect(readTar(archive.subarray(0, length))).toHaveLength(1);
    else expect(() => readTar(archive.subarray(0, length))).toThrow("unexpected EOF");
  }
});

test.each<[string, () => Buffer, RegExp]>([
  ["junk", () => Buffer.alloc(512, "junk"), /checksum is wrong/],
  ["a flipped bit", () => flip(rawHeader([0, "a"]), 3), /offset 0: its checksum is wrong/],
  ["no name", () => rawHeader(), /no name/],
  ["an unknown type", () => rawHeader([0, "a"], [156, "M"]), /type "M"/],
  ["a link to nothing", () => rawHeader([0, "a"], [156, "2"]), /without a target/],
  ["letters in a number", () => rawHeader([0, "a"], [124, "00z00000000"]), /number field/],
  ["a negative size", () => rawHeader([0, "a"], [124, Buffer.alloc(12, 0xff)]), /negative size/],
  [
    "a huge number",
    () => rawHeader([0, "a"], [124, Buffer.from([0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]),
    /too large/,
  ],
  ["owner -1", () => tarOf(paxRecord("uid", "4294967295")), /out of range/],
  ["a PAX record too long", () => tarOf("99 path=a\n"), /longer than its header|wrong length/],
  ["a PAX record without '='", () => tarOf("8 patha\n"), /no '='/],
  ["a PAX record without length", () => tarOf("path=a\n"), /no length/],
  ["a NUL in a name", () => tarOf(paxRecord("path", "a\0b")), /NUL/],
  ["a PAX size that is none", () => tarOf(paxRecord("size", "0x10")), /size holds/],
  ["a PAX time that is none", () => tarOf(paxRecord("mtime", "now")), /time holds/],
  [
    "an end after a PAX header",
    () => Buffer.concat([paxHeader(paxRecord("path", "a")), Buffer.alloc(1024)]),
    /extended/,
  ],
  ["a sparse map out of its file", () => tarOf(sparseRecords("0,5000", 4)), /overlap or lie outside/],
  ["a sparse map that overlaps", () => tarOf(sparseRecords("0,2,1,2", 4)), /overlap/],
  ["a sparse map that stores more", () => tarOf(sparseRecords("0,2", 4)), /add up to 2/],
  ["a sparse map of letters", () => tarOf(sparseRecords("a,b", 4)), /map holds/],
])("%s is rejected", (_, archive, message) => {
  for (const step of [100, 1 << 20])
    expect(() => readTar(archive(), step)).toThrow(
      expect.objectContaining({ code: "invalid-argument", message: expect.stringMatching(message) }),
    );
});

test.each<[string, () => Buffer]>([
  ["maxPathBytes", () => tarOf(paxRecord("path", "p".repeat(200)))],
  [
    "maxPathBytes",
    () => Buffer.concat([paxHeader(paxRecord("linkpath", "p".repeat(200))), rawHeader([0, "a"], [156, "2"])]),
  ],
  ["maxEntries", () => Buffer.concat(Array.from({ length: 6 }, () => rawHeader([0, "a"])))],
  ["maxPaxBytes", () => tarOf(paxRecord("comment", "c".repeat(2000)))],
  ["maxPaxBytes", () => Buffer.concat([1, 2, 3, 4].map(() => paxHeader(paxRecord("comment", "c".repeat(300)), "g")))],
  ["maxTotalBytes", () => rawHeader([0, "a"], [124, "00000100000"])],
  ["maxTotalBytes", () => tarOf(sparseRecords("", 1_000_000))],
])("the limit %s has an error that names it", (limit, archive) => {
  const limits = { maxPathBytes: 100, maxEntries: 5, maxPaxBytes: 1000, maxTotalBytes: 10_000 };
  expect(() => readTar(archive(), 700, limits)).toThrow(
    expect.objectContaining({ code: "resource-exhausted", message: expect.stringContaining(limit) }),
  );
});

test("the number of sparse pieces has a limit in each form", () => {
  const limits = { maxSparseSegments: 3 };
  const map = "0,1,2,1,4,1,6,1";
  expect(() => readTar(tarOf(sparseRecords(map, 100)), 512, limits)).toThrow(/maxSparseSegments/);
  const version1 = Buffer.concat([
    paxHeader(
      paxRecord("GNU.sparse.major", "1") + paxRecord("GNU.sparse.minor", "0") + paxRecord("GNU.sparse.realsize", "100"),
    ),
    rawHeader([0, "a"], [124, "00000001004"]),
    Buffer.from(`4\n${map.replaceAll(",", "\n")}\n`.padEnd(512, "\0")),
    Buffer.alloc(512),
  ]);
  expect(() => readTar(version1, 512, limits)).toThrow(/maxSparseSegments/);
  expect(readTar(version1)).toMatchObject([{ size: 100, stored: 4, sparse: true }]);
});

function tarOf(records: string): Buffer {
  return Buffer.concat([paxHeader(records), rawHeader([0, "a"], [124, "00000000004"]), Buffer.alloc(512)]);
}

function sparseRecords(map: string, size: number): string {
  return paxRecord("GNU.sparse.map", map) + paxRecord("GNU.sparse.size", String(size));
}

function flip(block: Buffer, at: number): Buffer {
  block[at]! ^= 1;
  return block;
}
