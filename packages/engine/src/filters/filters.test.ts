import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { FakeMachine, removeTree, startDaemon } from "../testing/fakes.ts";
import { booleanFilter, prunesLabels } from "./filters.ts";

test("a filter that is true or false has four words; several values are allowed unless they contradict each other", () => {
  const read = (...dangling: string[]) => booleanFilter({ dangling }, "dangling");
  expect([read("1"), read("true"), read("1", "true")]).toEqual([true, true, true]);
  expect([read("0"), read("false"), read("0", "false")]).toEqual([false, false, false]);
  expect([read(), booleanFilter({}, "dangling")]).toEqual([undefined, undefined]);
  for (const values of [["t"], ["T"], ["True"], ["f"], ["perhaps"], [""], ["true", "0"]])
    expect(() => read(...values)).toThrow(`invalid filter 'dangling=[${values.join(" ")}]'`);
});

test("networks read the filter dangling with error texts of their own", async () => {
  const root = mkdtempSync(join(tmpdir(), "fathom-filters-"));
  const engine = await startDaemon(new FakeMachine(), root);
  try {
    const list = async (...dangling: string[]): Promise<string[]> =>
      (await engine.networks.list({ dangling })).map(({ Name }) => Name).toSorted();
    expect(await list("true")).toEqual([]);
    expect(await list("0")).toEqual(await list());
    expect(await list()).toContain("bridge");
    await expect(list("T")).rejects.toThrow(
      `invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`,
    );
    await expect(list("true", "1")).rejects.toThrow('got more than one value for filter key "dangling"');
  } finally {
    await engine.shutdown();
    removeTree(root);
  }
});

test("prune takes what has all labels of `label`, and not all of `label!`", () => {
  const labels = { tier: "front", keep: "1" };
  const prunes = (label: string[], not: string[]) => prunesLabels(labels, { label, "label!": not });
  expect(prunesLabels(labels, {})).toBe(true);
  expect([prunes(["tier"], []), prunes(["tier=back"], [])]).toEqual([true, false]);
  expect([prunes([], ["keep"]), prunes([], ["keep", "other"]), prunes(["tier"], ["keep=1"])]).toEqual([
    false,
    true,
    false,
  ]);
});
