import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { makeTar } from "@fathom/archive/testing";
import { temporaryDirectory } from "@fathom/base/testing";
import { fileOf, spool } from "./spool.ts";

test("of a name that an archive has twice the last file counts, and a file after it has a place of its own", async () => {
  using work = temporaryDirectory("fathom-spool-");
  const archive = makeTar([
    { path: "manifest.json", text: "old" },
    { path: "manifest.json", text: "new" },
    { path: "other.json", text: "other" },
  ]);
  const body = (async function* () {
    yield archive;
  })();
  const files = await spool(work.path, body, new AbortController().signal);
  expect(["manifest.json", "other.json"].map((name) => readFileSync(fileOf(files, name), "utf8"))).toEqual([
    "new",
    "other",
  ]);
});
