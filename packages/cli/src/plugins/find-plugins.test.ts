import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@fathom/base/testing";
import { findPlugin, listPlugins, pluginNames } from "./find-plugins.ts";

function write(folder: string, name: string, answer: object | string, mode = 0o755): void {
  mkdirSync(folder, { recursive: true });
  const text = typeof answer === "string" ? answer : `echo '${JSON.stringify(answer)}'`;
  writeFileSync(join(folder, `docker-${name}`), `#!/bin/sh\n${text}\n`, { mode });
}

test("plugins are found in the folders in order; a program that does not describe itself is none", () => {
  using work = temporaryDirectory("cli-plugins");
  const own = join(work.path, "cli-plugins");
  const extra = join(work.path, "extra");
  const good = { SchemaVersion: "0.1.0", Vendor: "V", ShortDescription: "Good" };
  write(own, "good", good);
  write(own, "newer", { ...good, SchemaVersion: "1.2.0" });
  write(own, "future", { ...good, SchemaVersion: "2.0.0" });
  write(own, "nobody", { SchemaVersion: "0.1.0" });
  write(own, "broken", "echo '{'");
  write(own, "failing", "exit 1");
  write(own, "plain", good, 0o644);
  write(own, "Upper", good);
  write(own, "twice", { ...good, ShortDescription: "second" });
  write(extra, "twice", { ...good, ShortDescription: "first" });
  writeFileSync(join(work.path, "config.json"), JSON.stringify({ cliPluginsExtraDirs: [extra] }));
  const found = listPlugins(work.path).filter(({ path }) => path.startsWith(work.path));
  expect(found.map(({ name, summary }) => `${name}: ${summary}`)).toEqual([
    "good: Good",
    "newer: Good",
    "twice: first",
  ]);
  expect(findPlugin(work.path, "twice")?.path).toBe(join(extra, "docker-twice"));
  expect(findPlugin(work.path, "../cli-plugins/good")).toBeUndefined();
  expect(findPlugin(work.path, "nosuch")).toBeUndefined();
  expect(pluginNames(work.path)).toContain("broken");
  // The first folder decides, also when its program is no plugin.
  write(extra, "good", "exit 1");
  expect(findPlugin(work.path, "good")).toBeUndefined();
});
