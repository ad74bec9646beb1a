/** Tests of volumes as servers use them: the engine's part of volumes and every fake of it run them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { anonymousLabel } from "@fathom/volumes";
import type { VolumeBackend } from "../../backend.ts";
import { expectFailure } from "./expect-failure.ts";

export interface VolumeWorld extends AsyncDisposable {
  readonly backend: VolumeBackend;
  /** A container has this volume. */
  use(name: string): void;
}

const settings = { Driver: "", DriverOpts: null, Labels: null };

export function volumeSuite(name: string, open: () => Promise<VolumeWorld>): void {
  describe(`${name} as a backend of volumes`, () => {
    let world: VolumeWorld;
    let volumes: VolumeBackend;
    beforeEach(async () => {
      world = await open();
      volumes = world.backend;
    });
    afterEach(() => world[Symbol.asyncDispose]());
    const names = async (): Promise<string[]> => (await volumes.list({})).Volumes.map(({ Name }) => Name).toSorted();

    test("a volume is listed and shown as it was made; the same name gives the same volume", async () => {
      const made = await volumes.create({ ...settings, Name: "data", Labels: { a: "b" } });
      expect(made).toMatchObject({ Name: "data", Driver: "local", Labels: { a: "b" }, Scope: "local" });
      expect(made.Mountpoint).toContain("data");
      expect(await volumes.inspect("data")).toEqual(made);
      expect(await volumes.create({ ...settings, Name: "data" })).toEqual(made);
      expect((await volumes.list({})).Volumes).toEqual([made]);
    });

    test("a volume without a name gets a name, and a label that marks it as anonymous", async () => {
      const { Name, Labels } = await volumes.create({ ...settings, Name: "", Labels: { a: "b" } });
      expect(Name).toMatch(/^[0-9a-f]{64}$/);
      expect(Labels).toEqual({ a: "b", [anonymousLabel]: "" });
    });

    test("an invalid name is rejected, and nothing is made", async () => {
      await expectFailure(volumes.create({ ...settings, Name: "a/b" }), "invalid-argument", "a/b");
      expect(await names()).toEqual([]);
    });

    test('an unknown volume is "not-found", with its name; removing it by force is no failure', async () => {
      await expectFailure(volumes.inspect("nosuch"), "not-found", "nosuch");
      await expectFailure(volumes.remove("nosuch", false), "not-found", "nosuch");
      await volumes.remove("nosuch", true);
    });

    test("a volume that a container uses stays", async () => {
      for (const Name of ["used", "free"]) await volumes.create({ ...settings, Name });
      world.use("used");
      await expectFailure(volumes.remove("used", false), "conflict", "used");
      await volumes.remove("free", false);
      expect((await volumes.prune({ all: ["true"] })).VolumesDeleted).toEqual([]);
      expect(await names()).toEqual(["used"]);
    });

    test("a prune removes anonymous volumes, and with all=1 all unused ones", async () => {
      const { Name } = await volumes.create({ ...settings, Name: "" });
      await volumes.create({ ...settings, Name: "named" });
      expect((await volumes.prune({})).VolumesDeleted).toEqual([Name]);
      expect((await volumes.prune({ all: ["1"] })).VolumesDeleted).toEqual(["named"]);
    });

    test("unknown filters are rejected", async () => {
      await expectFailure(volumes.list({ nosuch: ["1"] }), "invalid-argument", "nosuch");
      await expectFailure(volumes.prune({ nosuch: ["1"] }), "invalid-argument", "nosuch");
    });
  });
}
