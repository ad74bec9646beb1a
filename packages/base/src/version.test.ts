import { expect, test } from "bun:test";
import { programVersion } from "./version.ts";

test("the version is the version in package.json", async () => {
  const manifest: unknown = await Bun.file(`${import.meta.dir}/../../../package.json`).json();
  expect(manifest).toMatchObject({ version: programVersion });
});
