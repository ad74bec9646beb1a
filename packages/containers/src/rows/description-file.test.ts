import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { temporaryDirectory } from "@fathom/base/testing";
import { sha256Digest } from "@fathom/spec";
import { containerPaths } from "../paths.ts";
import { describeLayers, readDescription } from "./description-file.ts";

const id = "a".repeat(64);
const layers = [{ chainId: sha256Digest("1"), diffId: sha256Digest("2"), size: 3 }];

const place = temporaryDirectory("description");
afterAll(() => place[Symbol.dispose]());
const config = { dataRoot: place.path };

function write(text: string): void {
  const path = containerPaths(config, id).description;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

test("the layers of a container are read from its description", () => {
  write(JSON.stringify({ version: 1, record: { id }, layers }));
  expect(readDescription(config, id)?.record).toEqual({ id });
  expect(describeLayers(config)(id)).toMatchObject(layers);
});

test.each([
  "",
  '{"version":1,"rec',
  "null",
  '{"version":1}',
  JSON.stringify({ version: 1, record: { id: "b" }, layers }),
  JSON.stringify({ version: 1, record: { id } }),
  JSON.stringify({ version: 1, record: { id }, layers: [{ chainId: "layer", size: 3 }] }),
])("a file that does not describe the container counts as no description: %s", (text) => {
  write(text);
  expect(describeLayers(config)(id)).toBeUndefined();
});

test("a description of a newer version is an error, because its container is not a leftover", () => {
  write(JSON.stringify({ version: 2, record: { id }, layers }));
  const refusal = /container\.json has version 2, this program knows 1: it was written by a newer fathom$/;
  expect(() => readDescription(config, id)).toThrow(refusal);
  expect(() => describeLayers(config)(id)).toThrow(refusal);
});
