import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";
import { expect, test } from "bun:test";
import { wantedMounts } from "./wanted-mounts.ts";

test("for older clients, only the top of a read-only bind is read-only", () => {
  const host = {
    ...emptyHostConfig,
    Binds: ["/a:/a:ro", "/b:/b", "data:/c:ro"],
    Mounts: [{ Type: "bind", Source: "/d", Target: "/d", ReadOnly: true }],
  };
  const shallow = (rules?: { shallowReadOnlyBinds: boolean }): string[] =>
    wantedMounts(emptyContainerConfig, host, () => [], rules)
      .filter(({ readOnlyNonRecursive }) => readOnlyNonRecursive)
      .map(({ destination }) => destination);
  expect(shallow({ shallowReadOnlyBinds: true })).toEqual(["/a", "/d"]);
  expect(shallow({ shallowReadOnlyBinds: false })).toEqual([]);
  expect(shallow()).toEqual([]);
});
