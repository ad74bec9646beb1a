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
    wantedMounts(emptyContainerConfig, host, { dataRoot: "/var/lib/fathom", donor: () => [], rules })
      .filter(({ readOnlyNonRecursive }) => readOnlyNonRecursive)
      .map(({ destination }) => destination);
  expect(shallow({ shallowReadOnlyBinds: true })).toEqual(["/a", "/d"]);
  expect(shallow({ shallowReadOnlyBinds: false })).toEqual([]);
  expect(shallow()).toEqual([]);
});

test("a bind of the engine's own directory, or of what holds it, is a slave", () => {
  const propagation = (source: string, asked = ""): readonly (string | undefined)[] => {
    const host = {
      ...emptyHostConfig,
      Binds: [`${source}:/a${asked === "" ? "" : `:${asked}`}`],
      Mounts: [{ Type: "bind", Source: source, Target: "/b", BindOptions: { Propagation: asked } }],
    };
    const setting = { dataRoot: "/var/lib/fathom", donor: () => [], rules: undefined };
    return wantedMounts(emptyContainerConfig, host, setting).map((mount) => mount.propagation);
  };
  for (const source of ["/", "/var", "/var/lib/fathom", "/var/lib/fathom/volumes"]) {
    expect(propagation(source)).toEqual(["rslave", "rslave"]);
    expect(propagation(source, "rshared")).toEqual(["rshared", "rshared"]);
    expect(() => propagation(source, "rprivate")).toThrow(
      `invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the daemon root, daemon root: "/var/lib/fathom", bind mount source: "${source}", propagation: "rprivate"`,
    );
  }
  for (const source of ["/etc", "/var/lib/fathom2", "/var/lib/fat"])
    expect(propagation(source)).toEqual(["rprivate", "rprivate"]);
});
