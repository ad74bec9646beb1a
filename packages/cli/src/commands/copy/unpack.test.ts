import { expect, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { byteString, TarWriter, type TarEntryInput } from "@fathom/archive";
import { temporaryDirectory } from "@fathom/base/testing";
import { pack } from "./pack.ts";
import { planCopy, splitArgument, type CopyPlace, type CopyPlan } from "./paths.ts";
import { Unpacker } from "./unpack.ts";

function archive(...entries: readonly (TarEntryInput & { readonly text?: string })[]): Uint8Array {
  const chunks: Uint8Array[] = [];
  const tar = new TarWriter((chunk) => chunks.push(chunk));
  for (const { text = "", ...entry } of entries) {
    tar.entry({ ...entry, size: text.length });
    tar.data(Buffer.from(text));
  }
  tar.finish();
  return Buffer.concat(chunks);
}

function unpack(plan: CopyPlan, bytes: Uint8Array): void {
  const unpacker = new Unpacker(plan);
  try {
    unpacker.push(bytes);
    unpacker.finish();
  } finally {
    unpacker.close();
  }
}

test("nothing is written outside the folder", () => {
  using work = temporaryDirectory("cli-unpack");
  const folder = join(work.path, "into");
  mkdirSync(folder);
  const plan = { folder, rename: undefined };
  const file = { kind: "file", mode: 0o644, text: "bad" } as const;
  expect(() => unpack(plan, archive({ ...file, path: "../out" }))).toThrow('"../out" is outside of');
  expect(() => unpack(plan, archive({ ...file, path: "a/../../out" }))).toThrow("is outside of");
  expect(() =>
    unpack(
      plan,
      archive({ kind: "symlink", path: "link", linkPath: work.path, mode: 0o777 }, { ...file, path: "link/out" }),
    ),
  ).toThrow("leads through a symlink of the same archive");
  expect(() => unpack(plan, archive({ kind: "hardlink", path: "hard", linkPath: "../secret", mode: 0o644 }))).toThrow(
    "is outside of",
  );
  unpack(plan, archive({ ...file, path: "/out" }));
  expect(existsSync(join(work.path, "out"))).toBe(false);
  expect(readFileSync(join(folder, "out"), "utf8")).toBe("bad");
});

test("a file in the place of a symlink replaces the symlink, not its target", () => {
  using work = temporaryDirectory("cli-unpack");
  writeFileSync(join(work.path, "target"), "kept");
  symlinkSync("target", join(work.path, "x"));
  unpack({ folder: work.path, rename: undefined }, archive({ kind: "file", path: "x", mode: 0o600, text: "new" }));
  expect(readFileSync(join(work.path, "target"), "utf8")).toBe("kept");
  expect(lstatSync(join(work.path, "x")).isFile()).toBe(true);
});

test("a folder that is packed and unpacked again is the same, with names that are not UTF-8", async () => {
  using work = temporaryDirectory("cli-pack");
  const from = join(work.path, "from");
  mkdirSync(join(from, "deep"), { recursive: true });
  const odd = Buffer.concat([Buffer.from(`${from}/deep/`), Buffer.of(0xff, 0xfe)]);
  writeFileSync(odd, "odd");
  symlinkSync("nowhere", join(from, "broken"));
  const place: CopyPlace = { path: from, exists: true, isDirectory: true, rebase: "" };
  const plan = planCopy(place, { path: join(work.path, "to"), exists: false, isDirectory: false, rebase: "" });
  const chunks: Uint8Array[] = [];
  for await (const chunk of pack(place, plan.rename)) chunks.push(chunk);
  const unpacker = new Unpacker({ folder: plan.folder, rename: undefined });
  for (const chunk of chunks) unpacker.push(chunk);
  unpacker.finish();
  const copied = Buffer.concat([Buffer.from(`${work.path}/to/deep/`), Buffer.of(0xff, 0xfe)]);
  expect(readFileSync(copied, "utf8")).toBe("odd");
  expect(readlinkSync(join(work.path, "to/broken"))).toBe("nowhere");
  expect(byteString(copied)).toContain("\u00ff\u00fe");
});

test("a colon separates the container, except in a path that begins with / or .", () => {
  expect(splitArgument("web:/etc")).toEqual({ container: "web", path: "/etc" });
  expect(splitArgument("./a:b")).toEqual({ container: "", path: "./a:b" });
  expect(splitArgument("/a:b")).toEqual({ container: "", path: "/a:b" });
  expect(splitArgument("a")).toEqual({ container: "", path: "a" });
});
