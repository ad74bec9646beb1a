import { expect, test } from "bun:test";
import { missingPaths, namesInFiles } from "../../script/document-paths.ts";

const paths = new Set(["README.md", "script", "script/test", "packages", "packages/store", "packages/store/src"]);
for (const name of ["unpack.ts", "check-mode.ts", "oci", "oci/mounts.ts"]) paths.add(`packages/store/src/${name}`);

function missing(text: string): string[] {
  return missingPaths(text, paths).map(({ line, path }) => `${line} ${path}`);
}

test("existing things are found: whole paths, ends of paths, folders, patterns, commands, links", () => {
  const text = [
    "`packages/store/src/unpack.ts`, `unpack.ts`, `oci/mounts.ts`, `packages/store/src/oci/`, `packages/store`",
    "`packages/store/src/check-*.ts`, `check-*.ts`, `oci/`, `script/test WORD`, [the page](README.md#top), [it](../README.md)",
  ];
  expect(missing(text.join("\n"))).toEqual([]);
});

test("missing things are reported with their line", () => {
  expect(missing("ok\n`packages/store/src/unpack/`\n`gone.ts` and `oci/gone.ts`\n")).toEqual([
    "2 packages/store/src/unpack",
    "3 gone.ts",
    "3 oci/gone.ts",
  ]);
  expect(missing("`script/none x`, `no-*.ts`, [gone](docs.md)")).toEqual(["1 script/none", "1 no-*.ts", "1 docs.md"]);
  expect(missing("`pull/` and `content/sha256/`")).toEqual(["1 pull"]);
  // An end begins at a slash.
  expect(missing("`ounts.ts`")).toEqual(["1 ounts.ts"]);
});

test("text that is no path of the repository is ignored", () => {
  const text =
    "unpack2.ts `config.json` `/etc/hosts.md` `~/x.ts` `content/sha256/<digest>` `@fathom/spec/x` `dist/fathom` `a…b.ts`";
  expect(missing(text)).toEqual([]);
});

test("names that a document places in a file", () => {
  expect(
    namesInFiles(
      "x\nThe row: `record` in `packages/store/src/a.ts`; `one`, `two` and `three` in `b.c`. `no` in `words`",
    ),
  ).toEqual([
    { line: 2, names: ["record"], path: "packages/store/src/a.ts" },
    { line: 2, names: ["one", "two", "three"], path: "b.c" },
  ]);
});
