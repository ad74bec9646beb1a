/** Tests of the engine itself and its networks as servers use them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createContainer, type ContainerWorld } from "./container-world.ts";
import { expectFailure, first } from "./expect-failure.ts";

const never = new AbortController().signal;

export function systemSuite(name: string, open: () => Promise<ContainerWorld>): void {
  let world: ContainerWorld;
  const create = (container: string): Promise<string> => createContainer(world, container);

  describe(`${name} as a backend of the engine itself`, () => {
    beforeEach(async () => void (world = await open()));
    afterEach(() => world[Symbol.asyncDispose]());

    test("version and info agree, and info counts containers", async () => {
      const { system } = world.backend;
      await create("one");
      const { Version, ApiVersion } = system.version();
      const { ServerVersion, Containers, ContainersRunning, ContainersStopped } = await system.info();
      expect(ApiVersion).toMatch(/^1\.\d+$/);
      expect([ServerVersion, Containers, ContainersRunning, ContainersStopped]).toEqual([Version, 1, 0, 1]);
    });

    test("a listener gets new events, and past ones when it asks for them", async () => {
      const { system } = world.backend;
      const live = first(system.events({ since: undefined, until: undefined, filters: {} }, never));
      const since = BigInt(Date.now()) * 1_000_000n;
      const id = await create("one");
      expect(await live).toMatchObject({ Type: "container", Action: "create", Actor: { ID: id } });
      const until = BigInt(Date.now() + 1) * 1_000_000n;
      const past = await Array.fromAsync(system.events({ since, until, filters: {} }, never));
      expect(past.map(({ Action, Actor }) => `${Action} ${Actor.ID}`)).toEqual([`create ${id}`]);
    });

    test("a client that hangs up ends its events", async () => {
      const client = new AbortController();
      const request = { since: undefined, until: undefined, filters: {} };
      const all = Array.fromAsync(world.backend.system.events(request, client.signal));
      client.abort();
      expect(await all).toEqual([]);
    });

    test("an unknown filter or object type is rejected", async () => {
      const { system } = world.backend;
      const filters = { nosuch: ["1"] };
      expect(() => system.events({ since: undefined, until: undefined, filters }, never)).toThrow("nosuch");
      await expectFailure(system.diskUsage(["nosuch"]), "invalid-argument", "nosuch");
    });

    test("disk usage has the requested parts", async () => {
      const { system } = world.backend;
      await create("one");
      const { ContainerUsage, ...others } = await system.diskUsage(["container"]);
      expect([ContainerUsage?.TotalCount, ContainerUsage?.ActiveCount, others]).toEqual([1, 0, {}]);
      expect(Object.keys(await system.diskUsage([])).toSorted()).toEqual([
        "BuildCacheUsage",
        "ContainerUsage",
        "ImageUsage",
        "VolumeUsage",
      ]);
    });
  });

  describe(`${name} as a backend of networks`, () => {
    beforeEach(async () => void (world = await open()));
    afterEach(() => world[Symbol.asyncDispose]());

    test("each network that is listed is found by its name and its id", async () => {
      const { networks } = world.backend;
      const listed = await networks.list({});
      expect(listed.map(({ Name }) => Name)).toContain("bridge");
      const options = { scope: undefined };
      for (const { Name, Id, Driver } of listed)
        for (const asked of [Name, Id])
          expect(await networks.inspect(asked, options)).toMatchObject({ Name, Id, Driver });
      expect((await networks.list({ name: ["bridge"] })).map(({ Name }) => Name)).toEqual(["bridge"]);
    });

    test('an unknown network is "not-found", an unknown filter is rejected', async () => {
      const { networks } = world.backend;
      await expectFailure(networks.inspect("nosuch", { scope: undefined }), "not-found", "nosuch");
      await expectFailure(networks.list({ nosuch: ["1"] }), "invalid-argument", "nosuch");
    });
  });
}
