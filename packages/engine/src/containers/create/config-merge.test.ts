import { emptyContainerConfig } from "@fathom/spec/testing";
import { expect, test } from "bun:test";
import { mergeImageConfig } from "./config-merge.ts";

test("a variable without a name is rejected, whether the user or the image has it", () => {
  const user = { ...emptyContainerConfig, Cmd: ["sh"] };
  for (const blank of ["", "=x"]) {
    const message = `invalid environment variable: ${blank}`;
    expect(() => mergeImageConfig({ ...user, Env: [blank] }, {})).toThrow(message);
    expect(() => mergeImageConfig(user, { Env: [blank] })).toThrow(message);
  }
  expect(mergeImageConfig({ ...user, Env: ["A", "B=1"] }, { Env: ["B=2", "C=3"] }).Env).toEqual(["A", "B=1", "C=3"]);
});
