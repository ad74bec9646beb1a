import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@fathom/base";
import { failureOf } from "@fathom/base/testing";
import type { Snapshot } from "@fathom/store";
import { createSys, O_CLOEXEC, O_DIRECTORY, O_RDONLY, SysError, type HostFiles, type Sys } from "@fathom/sys";
import { finishFilling } from "./filling.ts";
import { fillVolumes } from "./fill-volumes.ts";

const real = createSys();
let root: string;
let volume: string;
let data: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "fathom-fill-"));
  volume = join(root, "volume");
  data = join(volume, "_data");
  mkdirSync(data, { recursive: true });
  mkdirSync(join(root, "image/app/sub"), { recursive: true });
  for (const name of ["a", "b", "sub/c"]) writeFileSync(join(root, "image/app", name), name);
});
afterEach(() => rmSync(root, { recursive: true }));

function fill(subpath = "", calls: Partial<Sys> = {}): Promise<void> {
  const sys: Sys = {
    ...real,
    // In place of an overlay: a directory with the image's files.
    openOverlay: () => real.open(join(root, "image"), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
    ...calls,
  };
  const parts = { sys, logger: silentLogger, shuttingDown: new AbortController().signal, files: {} as HostFiles };
  const layer = { mount: { lower: [], options: [] } } as unknown as Snapshot;
  return fillVolumes(parts, layer, [{ name: "x", source: data, destination: "/app", subpath }]);
}

/** The move of entries into the volume fails after this many. */
function failsAfter(count: number): Partial<Sys> {
  let moves = 0;
  return {
    renameat2(from, name, to, newName, flags) {
      if (name !== ".filling" && name !== ".filled" && moves++ >= count) throw new SysError("renameat2", 28, "full");
      real.renameat2(from, name, to, newName, flags);
    },
  };
}

test.each([0, 1, 2])("a move that fails after %d entries is continued by the next use", async (count) => {
  expect(await failureOf(fill("", failsAfter(count)))).toMatchObject({ errnoName: "ENOSPC" });
  await fill();
  expect(readdirSync(data).sort()).toEqual(["a", "b", "sub"]);
  expect(readdirSync(volume)).toEqual(["_data"]);
});

test("a content that could not be moved is not copied again over what the volume has by then", async () => {
  await failureOf(fill("", failsAfter(0)));
  writeFileSync(join(data, "a"), "newer");
  await fill();
  expect(readFileSync(join(data, "a"), "utf8")).toBe("newer");
  expect(readdirSync(data).sort()).toEqual(["a", "b", "sub"]);
});

test("a directory of a volume that a container mounts is filled; the rest of the volume is not", async () => {
  mkdirSync(join(data, "one/two"), { recursive: true });
  await fill("one/two");
  expect(readdirSync(data)).toEqual(["one"]);
  expect(readdirSync(join(data, "one/two")).sort()).toEqual(["a", "b", "sub"]);
  expect(readdirSync(volume)).toEqual(["_data"]);
});

test.each(["missing", "file", "out", "up"])(
  "nothing is copied to %s: it is no directory inside the volume",
  async (name) => {
    writeFileSync(join(data, "file"), "");
    mkdirSync(join(root, "outside"));
    symlinkSync(join(root, "outside"), join(data, "out"));
    symlinkSync("../../outside", join(data, "up"));
    await fill(name);
    expect(readdirSync(join(root, "outside"))).toEqual([]);
    expect(readdirSync(data).sort()).toEqual(["file", "out", "up"]);
    expect(readdirSync(volume)).toEqual(["_data"]);
  },
);

test("after a crash, the start moves the content to the directory it was copied for", async () => {
  mkdirSync(join(data, "one"));
  await failureOf(fill("one", failsAfter(1)));
  expect(readdirSync(volume).sort()).toEqual([".filled", ".filled-below", "_data"]);
  // An older version left such a copy beside it.
  mkdirSync(join(volume, ".filling"));
  const wastes: string[] = [];
  finishFilling(real, volume, (path) => {
    wastes.push(path);
    rmSync(path, { recursive: true });
  });
  expect(wastes).toEqual([join(volume, ".filling")]);
  expect(readdirSync(join(data, "one")).sort()).toEqual(["a", "b", "sub"]);
  expect(readdirSync(volume)).toEqual(["_data"]);
});

test("a content whose directory is gone does not keep the volume from being used", async () => {
  mkdirSync(join(data, "one"));
  await failureOf(fill("one", failsAfter(0)));
  rmSync(join(data, "one"), { recursive: true });
  await fill();
  expect(readdirSync(data).sort()).toEqual(["a", "b", "sub"]);
  expect(readdirSync(volume)).toEqual(["_data"]);
});
