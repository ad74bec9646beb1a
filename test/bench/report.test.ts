/** The arithmetic of the bench: without these tests, a wrong median or verdict could get into the README. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "../../bench/src/measure.ts";
import { RegistryStore, sha256 } from "../../bench/src/registry-store.ts";
import { problems, table } from "../../bench/src/report.ts";
import { measureRow, type Row } from "../../bench/src/row.ts";

test("the median of odd and even counts", () => {
  expect([median([3, 1, 2]), median([10, 9, 1, 2]), median([100, 9])]).toEqual([2, 5.5, 54.5]);
  expect(() => median([])).toThrow("nothing");
});

test("samples are taken in turns, the first round does not count, and verdicts follow", async () => {
  const order: string[] = [];
  const contender = (name: string, values: number[]): Row["contenders"][number] => ({
    name,
    sample: () => {
      order.push(name);
      const value = values.shift();
      if (value === undefined) throw new Error("out of values");
      return value;
    },
  });
  const row: Row = {
    id: "x",
    title: "a row",
    unit: "ms",
    rounds: 2,
    targets: [{ ratio: 0.2 }, { most: 15 }, { ratio: 3, to: "floor" }],
    contenders: [
      contender("fathom", [99, 10, 20]),
      contender("dockerd", [999, 100, 100]),
      contender("floor", [4, 4, 4]),
      contender("broken", [1]),
    ],
  };
  const result = await measureRow(row, 100);
  expect(order.slice(0, 8)).toEqual(["fathom", "dockerd", "floor", "broken", "fathom", "dockerd", "floor", "broken"]);
  expect(order.filter((name) => name === "broken").length).toBe(2);
  expect(result.targets.map((target) => [target.value, target.met])).toEqual([
    [0.15, true],
    [15, true],
    [3.75, false],
  ]);
  expect(problems([result])).toEqual(["x, broken: out of values"]);
  expect(table([result]).split("\n").slice(2)).toEqual([
    "| a row | 15.0 ms | 100 ms | 0.150× | ≤ 0.2× dockerd (0.150×) met, ≤ 15 ms met, ≤ 3× floor (3.750×) MISSED |",
    "| … the same by floor: 4.00 ms | | | 3.75× floor | |",
  ]);
});

test("a registry's storage links a tag to its manifest and blobs", () => {
  const root = mkdtempSync(join(tmpdir(), "bench-store-"));
  const store = new RegistryStore(root);
  const config = store.putBlob(Buffer.from("{}"));
  const layer = store.putBlob(Buffer.from("layer"));
  const manifest = Buffer.from(JSON.stringify({ config: { digest: config }, layers: [{ digest: layer }] }));
  store.putManifest("a/b", "latest", manifest);
  const read = (path: string): string => readFileSync(join(root, "docker/registry/v2", path), "utf8");
  expect(read("repositories/a/b/_manifests/tags/latest/current/link")).toBe(sha256(manifest));
  const hex = layer.slice(7);
  expect(read(`repositories/a/b/_layers/sha256/${hex}/link`)).toBe(layer);
  expect(read(`blobs/sha256/${hex.slice(0, 2)}/${hex}/data`)).toBe("layer");
  rmSync(root, { recursive: true });
});
