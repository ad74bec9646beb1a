import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSys } from "@fathom/sys";
import { lockBridge, lockRegistryRoot, lockStateDirectory } from "./state-lock.ts";

const place = mkdtempSync(join(tmpdir(), "locks-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));
const sys = createSys();

test("one daemon per directory, and the error says what to do", () => {
  const first = lockStateDirectory(sys, place);
  expect(() => lockStateDirectory(sys, place)).toThrow(`another daemon uses ${place}: stop it, or give this one`);
  first[Symbol.dispose]();
  lockStateDirectory(sys, place)[Symbol.dispose]();
});

test("one registry per root", () => {
  const first = lockRegistryRoot(sys, place);
  expect(() => lockRegistryRoot(sys, place)).toThrow(`another registry uses ${place}: stop it`);
  first[Symbol.dispose]();
  lockRegistryRoot(sys, place)[Symbol.dispose]();
});

test("one daemon per bridge; nothing is left of the lock", () => {
  const run = join(place, "run");
  const first = lockBridge(sys, "br0", run);
  expect(() => lockBridge(sys, "br0", run)).toThrow("another daemon has the bridge br0 here");
  const second = lockBridge(sys, "br1", run);
  expect(readdirSync(run)).toHaveLength(2);
  first[Symbol.dispose]();
  lockBridge(sys, "br0", run)[Symbol.dispose]();
  second[Symbol.dispose]();
  expect(readdirSync(run)).toEqual([]);
});
