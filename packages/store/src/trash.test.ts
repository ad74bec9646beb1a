import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, silentLogger } from "@fathom/base";
import { createTrash } from "./trash.ts";

function makeRoot(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "fathom-trash-"));
  mkdirSync(join(path, "trash"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

test("many trees are removed as one, few one by one, and all of them are removed", async () => {
  using root = makeRoot();
  const removed: string[][] = [];
  const trash = createTrash(join(root.path, "trash"), silentLogger, async (path) => {
    removed.push(readdirSync(path));
    rmSync(path, { recursive: true });
  });
  const discard = (name: string): void => {
    mkdirSync(join(root.path, name));
    writeFileSync(join(root.path, name, `${name}-file`), "");
    trash.take(join(root.path, name));
    expect(existsSync(join(root.path, name))).toBe(false);
  };
  for (const name of ["a", "b", "c"]) discard(name);
  trash.empty();
  await trash.settled();
  expect(removed.flat().toSorted()).toEqual(["a-file", "b-file", "c-file"]);
  removed.length = 0;
  for (let index = 0; index < 20; index++) discard(`t${index}`);
  trash.empty();
  await trash.settled();
  expect(removed.map((names) => names.length)).toEqual([20]);
  expect(readdirSync(join(root.path, "trash"))).toEqual([]);
});

test("a tree that cannot be removed stays, is logged once, and does not stop the others", async () => {
  using root = makeRoot();
  const directory = join(root.path, "trash");
  let tries = 0;
  const trash = createTrash(directory, silentLogger, async (path) => {
    tries++;
    rmSync(join(path, "t1"), { recursive: true, force: true });
    if (existsSync(join(path, "immutable"))) throw new Error("EPERM");
    rmSync(path, { recursive: true });
  });
  for (const name of ["immutable", "t1", "t2", "t3"]) mkdirSync(join(directory, name));
  trash.empty();
  await trash.settled();
  expect(tries).toBe(1);
  for (const name of ["u1", "u2"]) mkdirSync(join(directory, name));
  trash.empty();
  await trash.settled();
  expect(readdirSync(directory).filter((name) => name.startsWith("u"))).toEqual([]);
  expect(tries).toBe(3);
});

test("a path that does not exist is no error, a path that cannot be moved is", () => {
  using root = makeRoot();
  const trash = createTrash(join(root.path, "trash"), silentLogger);
  trash.take(join(root.path, "nothing"));
  expect(() => trash.take("/proc/self/net")).toThrow();
});

test("a missing disk is logged, and the wait for the removal ends", async () => {
  using root = makeRoot();
  const lines: string[] = [];
  const logger = createLogger("warn", { write: (line) => void lines.push(line) });
  const trash = createTrash(join(root.path, "nothing"), logger);
  trash.empty();
  await trash.settled();
  expect(lines.join("")).toContain("removed layers cannot be freed");
});
