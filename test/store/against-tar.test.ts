/** Compares the unpacker with GNU tar, on trees that tar itself packed; also with random hostile archives. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { isEngineError } from "@fathom/base";
import { createLayerUnpacker } from "@fathom/store";
import { chmodSync, chownSync, ftruncateSync, linkSync, mkdirSync, mkdtempSync, openSync, closeSync } from "node:fs";
import { lutimesSync, readdirSync, rmSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sys, tar, type Entry } from "./support.ts";
import { descriptorsInto } from "@fathom/base/testing";

let work: string;
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), "fathom-against-tar-"));
  for (const name of ["source", "ours", "theirs"]) mkdirSync(join(work, name));
});
afterEach(() => rmSync(work, { recursive: true }));

function shell(script: string): Buffer {
  const result = Bun.spawnSync(["bash", "-ec", script], { cwd: work });
  if (result.exitCode !== 0) throw new Error(result.stderr.toString());
  return Buffer.from(result.stdout);
}

function unpack(archive: Uint8Array, target: string): void {
  const unpacker = createLayerUnpacker(sys, target);
  try {
    for (let at = 0; at < archive.length; at += 10_000) unpacker.write(archive.subarray(at, at + 10_000));
    unpacker.finish();
  } finally {
    unpacker.abort();
  }
}

test.each(["gnu", "posix", "oldgnu", "posix --sparse", "gnu --sparse"])("a tree packed with --format=%s", (format) => {
  const at = (name: string): string => join(work, "source", name);
  const long = `${"d".repeat(120)}/${"e".repeat(120)}`;
  mkdirSync(at(long), { recursive: true });
  writeFileSync(at(`${long}/ünï cödé`), "deep");
  writeFileSync(at("setuid"), "x");
  chownSync(at("setuid"), 3_000_000, 1234);
  chmodSync(at("setuid"), 0o6755);
  linkSync(at("setuid"), at("zlink"));
  symlinkSync("l".repeat(200), at("symlink"));
  lutimesSync(at("symlink"), 1, 2);
  mkdirSync(at("sticky"));
  chmodSync(at("sticky"), 0o1777);
  mkdirSync(at("closed"));
  writeFileSync(at("closed/in"), "in");
  chmodSync(at("closed"), 0);
  writeFileSync(at("large"), Buffer.alloc(1_000_003, "large "));
  sys.mknodat(-100, at("null"), 0o020666, 1, 3);
  sys.mknodat(-100, at("fifo"), 0o010600, 0, 0);
  const fd = openSync(at("sparse"), "w");
  for (let piece = 1; piece < 60; piece++) writeSync(fd, "data", piece * 100_000);
  ftruncateSync(fd, 7_000_000);
  closeSync(fd);
  for (let index = 0; index < 300; index++) writeFileSync(at(`file${index}`), String(index).repeat(index));
  const archive = shell(`tar -C source --format=${format} --sort=name --numeric-owner -cf - .`);
  unpack(archive, join(work, "ours"));
  shell(`tar -C source --format=${format} --sort=name --numeric-owner -cf - . | tar -C theirs --numeric-owner -xpf -`);
  const list = (name: string): string =>
    shell(
      `cd ${name}; find . -printf '%p %y %m %U %G %T@ %l %n\\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum; find . ! -type d -printf '%p %s\\n' | sort`,
    ).toString();
  const theirs = list("theirs");
  expect(theirs.length).toBeGreaterThan(10_000);
  expect(list("ours")).toBe(theirs);
  if (format.endsWith("--sparse")) expect(sys.fstatat(-100, join(work, "ours/sparse"), 0).blocks).toBeLessThan(2000n);
});

test("three thousand random archives change nothing outside and leak no descriptor", () => {
  const outside = join(work, "source");
  writeFileSync(join(outside, "secret"), "secret");
  const before = shell("find source -printf '%p %m %U %G %s %T@ %C@\\n'").toString();
  const names = [
    "a",
    "b",
    ".",
    "..",
    "",
    ".wh.a",
    ".wh..wh..opq",
    ".wh..",
    "source",
    "secret",
    "/",
    "ours",
    "x".repeat(260),
  ];
  const targets = [
    "a",
    "b/a",
    "..",
    "../source",
    "/",
    `${work}/source`,
    "../source/secret",
    `${work}/source/secret`,
    ".",
  ];
  const kinds = ["file", "directory", "symlink", "hardlink", "character-device", "block-device", "fifo"] as const;
  let state = 12_345;
  const pick = <T>(list: readonly T[]): T => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return list[(state >>> 8) % list.length]!;
  };
  let refused = 0;
  for (let run = 0; run < 3000; run++) {
    const entries = Array.from({ length: 1 + (run % 8) }, (): Entry => {
      const kind = pick(kinds);
      const path = Array.from({ length: pick([1, 1, 2, 3]) }, () => pick(names)).join("/");
      return {
        path: path === "" ? "/" : path,
        kind,
        linkPath: pick(targets),
        mode: pick([0o777, 0o4755]),
        uid: pick([0, 7]),
        ...(kind === "file" ? { text: "evil" } : {}),
        ...(kind.endsWith("device") ? { deviceMajor: pick([0, 1]), deviceMinor: pick([0, 3]) } : {}),
      };
    });
    const target = join(work, "ours");
    try {
      unpack(tar(entries), target);
    } catch (error) {
      if (!isEngineError(error, "invalid-argument") && !isEngineError(error, "resource-exhausted"))
        throw new Error(`run ${run}: ${JSON.stringify(entries)}`, { cause: error });
      refused++;
    }
    if (run % 50 === 49) {
      rmSync(target, { recursive: true });
      mkdirSync(target);
    }
  }
  expect(shell("find source -printf '%p %m %U %G %s %T@ %C@\\n'").toString()).toBe(before);
  expect(readdirSync(work).sort()).toEqual(["ours", "source", "theirs"]);
  expect(descriptorsInto(work)).toEqual([]);
  expect(refused).toBeGreaterThan(500);
  expect(refused).toBeLessThan(2990);
});
