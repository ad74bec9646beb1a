import { expect, test } from "bun:test";
import { parseTmpfsOptions } from "./tmpfs.ts";

test("the words of --tmpfs, and the name of an unknown one without its value", () => {
  expect(parseTmpfsOptions("")).toEqual([]);
  expect(parseTmpfsOptions("defaults,rw,size=1m,mode=700")).toEqual(["defaults", "rw", "size=1m", "mode=700"]);
  for (const [words, name] of [
    ["rw,nosuchoption", "nosuchoption"],
    ["nosuch=1", "nosuch"],
    ["size", "size"],
    ["ro=1", "ro"],
  ] as const)
    expect(() => parseTmpfsOptions(words)).toThrow(`invalid tmpfs option "${name}"`);
});
