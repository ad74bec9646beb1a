/** Containers at an interface of the host: neighbours see them, and the host's rules do not stand between. */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { NetworkInfo, NetworkManager, NetworkSettings, Sandbox } from "@fathom/network";
import { connectOutside, forwarderFiles, isInside, makeNetworks, run, runInside, Space } from "./world.ts";
import { memoryState } from "@fathom/network/testing";

if (!isInside) {
  test("macvlan networks, in a network namespace of their own", async () => {
    const { code, output } = await runInside(import.meta.path);
    if (code !== 0) console.error(output);
    expect(code).toBe(0);
  }, 120_000);
} else {
  describe("macvlan networks", () => {
    let networks: NetworkManager;
    let outside: Space;

    beforeAll(async () => {
      run("ip", "link", "set", "lo", "up");
      outside = new Space();
      connectOutside(outside);
      networks = makeNetworks({}, memoryState());
      await networks.start([]);
    });
    afterAll(async () => {
      rmSync(forwarderFiles, { recursive: true, force: true });
      await networks.stop(false);
      await outside[Symbol.asyncDispose]();
    });

    function make(name: string, change: Partial<NetworkSettings>): Promise<NetworkInfo> {
      const plain = { driver: "macvlan", pools: [], internal: false, options: {}, labels: {} };
      return networks.create({ ...plain, name, ...change });
    }
    function sandbox(space: Space): Sandbox {
      const containerId = String(space.fd).padEnd(64, "0");
      return networks.sandbox({ containerId, containerName: "c", namespaceFd: space.fd });
    }

    test("a container is a neighbour of the hosts on the segment, with its own address; disconnected it is gone", async () => {
      const pools = [{ family: "ipv4", subnet: "198.51.100.0/24", range: "198.51.100.64/28" } as const];
      const lan = await make("lan", { pools, options: { parent: "out0" } });
      await using space = new Space();
      const endpoint = (await sandbox(space).connect(lan.id, { macAddress: "02:00:00:00:00:77" }))!;
      const [{ address } = { address: "" }] = endpoint.addresses;
      await outside.serve("tcp", 7200);
      expect(await space.ask("tcp", "198.51.100.50", 7200)).toBe(`hello ${address}`);
      await space.serve("tcp", 80);
      expect(await outside.ask("tcp", address, 80)).toBe("hello 198.51.100.50");
      expect(outside.run("ip", "neigh", "show", address)).toContain("02:00:00:00:00:77");
      await sandbox(space).disconnect(endpoint.endpointId);
      expect(space.run("ip", "-o", "link")).not.toContain("eth0");
      await networks.remove(lan.id);
      expect(run("ip", "-o", "link")).toContain("out0");
    });

    test("without a parent containers reach each other and nothing else", async () => {
      const cell = await make("cell", {});
      await using one = new Space();
      await using two = new Space();
      const first = (await sandbox(one).connect(cell.id))!;
      const second = (await sandbox(two).connect(cell.id))!;
      await two.serve("tcp", 80);
      expect(await one.ask("tcp", second.addresses[0]!.address, 80)).toBe(`hello ${first.addresses[0]!.address}`);
      expect(one.run("ip", "route", "show", "default")).toBe("");
      for (const space of [one, two]) await sandbox(space).close();
      await networks.remove(cell.id);
      expect(run("ip", "-o", "link")).not.toMatch(/d[mp]-/);
    });
  });
}
