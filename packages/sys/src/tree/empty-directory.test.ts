import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DT_UNKNOWN } from "../constants.ts";
import { sys, testDirectory } from "../testing/support.ts";
import { emptyDirectory } from "./empty-directory.ts";

function fill(path: string, elsewhere: string): void {
  mkdirSync(join(path, "a/b/c"), { recursive: true });
  writeFileSync(join(path, "a/b/file"), "x");
  symlinkSync(elsewhere, join(path, "a/link"));
  symlinkSync("nowhere", join(path, "dangling"));
}

test("everything below a directory is removed, and nothing that a symlink leads to", () => {
  using dir = testDirectory();
  using elsewhere = testDirectory();
  writeFileSync(join(elsewhere.path, "kept"), "");
  const directory = sys.open(dir.path, 0);
  try {
    fill(dir.path, elsewhere.path);
    emptyDirectory(sys, directory);
    expect(readdirSync(dir.path)).toEqual([]);

    // A file system that does not give types with the names.
    fill(dir.path, elsewhere.path);
    emptyDirectory(
      { ...sys, readDirectory: (fd) => sys.readDirectory(fd).map((entry) => ({ ...entry, type: DT_UNKNOWN })) },
      directory,
    );
    expect(readdirSync(dir.path)).toEqual([]);
    expect(existsSync(join(elsewhere.path, "kept"))).toBe(true);
  } finally {
    sys.close(directory);
  }
});
