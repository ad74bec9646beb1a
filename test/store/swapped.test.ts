/**
 * Trees that change while they are read. Another process swaps one name between a file, a device, a FIFO and a link to a file of the host, as
 * fast as it can. The reader gets the file's content, or the archive has the entry as what it is. No device is opened, and nothing waits at the
 * FIFO.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { nameText, TarReader, type TarEntry } from "@fathom/archive";
import { tarTree } from "@fathom/containers";
import { createHostFiles, S_IFCHR, S_IFIFO, helperExecutable } from "@fathom/sys";
import { writeLayerDiff } from "@fathom/store";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sys } from "./support.ts";

const text = "the file's own text";
const tries = 1500;
const files = createHostFiles({ sys, executable: () => helperExecutable(sys) });
const all = ["character-device", "fifo", "file", "symlink"];
let work: string;
let tree: string;
let swapper: Bun.Subprocess;

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "fathom-swapped-"));
  tree = join(work, "tree");
  mkdirSync(tree);
  const at = (name: string): string => join(work, name);
  writeFileSync(at("file"), text);
  // Reading it gives zeros without end.
  sys.mknodat(-100, at("device"), S_IFCHR | 0o666, 1, 5);
  sys.mknodat(-100, at("fifo"), S_IFIFO | 0o666, 0, 0);
  symlinkSync("/etc/passwd", at("link"));
  writeFileSync(join(tree, "x"), text);
  const code = `
    const { linkSync, renameSync, symlinkSync } = require("node:fs");
    for (;;) for (const kind of ["file", "device", "file", "fifo", "file", "link"]) {
      if (kind === "link") symlinkSync("/etc/passwd", "next"); else linkSync(kind, "next");
      renameSync("next", "tree/x");
    }`;
  swapper = Bun.spawn([process.execPath, "-e", code], { cwd: work, stdio: ["ignore", "ignore", "inherit"] });
});

afterAll(async () => {
  swapper.kill("SIGKILL");
  await swapper.exited;
  rmSync(work, { recursive: true });
});

/** The kinds that the reader saw; every file must have the file's text. */
async function kindsSeen(archive: (take: (chunk: Uint8Array) => void) => Promise<unknown>): Promise<Set<string>> {
  const kinds = new Set<string>();
  const patience = Date.now() + 30_000;
  for (let i = 0; (i < tries || kinds.size < all.length) && Date.now() < patience; i++) {
    let entry: TarEntry | undefined;
    let body = "";
    const reader = new TarReader({
      entry: (one) => void (entry = nameText(one.path).endsWith("x") ? one : undefined),
      data: (chunk) => void (body += entry === undefined ? "" : Buffer.from(chunk).toString("latin1")),
      end() {
        if (entry === undefined) return;
        kinds.add(entry.kind);
        expect(body).toBe(entry.kind === "file" ? text : "");
        body = "";
      },
    });
    await archive((chunk) => reader.push(chunk));
    reader.finish();
  }
  return kinds;
}

async function archiveTree(path: string, name: string, take: (chunk: Uint8Array) => void): Promise<void> {
  using reading = files.readTree({ root: tree, path, wants: "tree", what: path, key: tree });
  for await (const chunk of tarTree(reading, undefined, name)) take(chunk);
}

test("cp and export of a directory", async () => {
  const kinds = await kindsSeen((take) => archiveTree("/", "", take));
  expect([...kinds].sort()).toEqual(all);
}, 60_000);

test("cp of the entry itself", async () => {
  const kinds = await kindsSeen((take) => archiveTree("/x", "x", take));
  expect([...kinds].sort()).toEqual(all);
}, 60_000);

test("commit", async () => {
  const kinds = await kindsSeen((take) => writeLayerDiff(sys, tree, [], take));
  expect([...kinds].sort()).toEqual(all);
}, 60_000);
