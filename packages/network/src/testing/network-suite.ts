/** What every `NetworkManager` must do, as tests: the real one with each kernel, and each fake, run them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Faults } from "@fathom/base/testing";
import type { Endpoint, NetworkInfo, NetworkManager, NetworkSettings, PortRequest, Sandbox } from "../contract.ts";

/** A host that survives daemons. */
export interface NetworkPlace extends AsyncDisposable {
  /** A manager as a daemon's start makes it, not started yet. It uses the host's rows. */
  open(): NetworkManager;
  /** A container's network namespace; it ends with the place. */
  namespace(): number;
}

const port = (hostPort: number): PortRequest => ({
  protocol: "tcp",
  containerPort: 80,
  hostIp: "127.0.0.1",
  hostPortFirst: hostPort,
  hostPortLast: hostPort,
});

function settings(name: string, change: Partial<NetworkSettings> = {}): NetworkSettings {
  return { name, driver: "bridge", pools: [], internal: false, options: {}, labels: {}, ...change };
}

/** @param faults Of a fake: its calls ("sandbox.connect" and others) fail and hang through them. */
export function networkSuite(name: string, openPlace: () => Promise<NetworkPlace>, faults?: Faults): void {
  describe(name, () => {
    let place: NetworkPlace;
    let networks: NetworkManager;
    let counter: number;

    beforeEach(async () => {
      place = await openPlace();
      networks = place.open();
      await networks.start([]);
      counter = 0;
    });
    afterEach(async () => {
      await networks.stop(false);
      await place[Symbol.asyncDispose]();
    });

    /** For a container of its own. */
    function sandbox(...ports: PortRequest[]): Sandbox {
      const containerName = `c${++counter}`;
      const containerId = containerName.padEnd(64, "0");
      return networks.sandbox({ containerId, containerName, namespaceFd: place.namespace(), ports });
    }
    async function connect(to: Sandbox, network: NetworkInfo, gatewayPriority = 0): Promise<Endpoint> {
      const endpoint = await to.connect(network.id, { gatewayPriority });
      if (endpoint === undefined) throw new Error(`no endpoint in ${network.name}`);
      return endpoint;
    }
    const addressOf = ({ addresses }: Endpoint): string => addresses.map(({ address }) => address).join();
    const portsIn = ({ endpoints }: Sandbox): string[] =>
      endpoints.flatMap(({ networkName, ports }) => ports.map(({ hostPort }) => `${networkName} ${hostPort}`));

    describe("networks", () => {
      test("the networks of the settings exist, one is the default; they keep their ids", async () => {
        const ids = networks.list().map(({ id }) => id);
        expect(networks.list().every(({ builtin }) => builtin)).toBe(true);
        const found = networks.defaultNetwork()!;
        expect(networks.find(found.id)).toEqual(found);
        expect(networks.find(found.name)).toEqual(found);
        expect(networks.find(found.id.slice(0, 12))).toEqual(found);
        expect([networks.find(""), networks.find("no such network")]).toEqual([undefined, undefined]);
        await networks.stop(true);
        networks = place.open();
        await networks.start([]);
        expect(networks.list().map(({ id }) => id)).toEqual(ids);
      });

      test("have a driver; an unknown driver is rejected", async () => {
        expect(networks.drivers).toEqual(expect.arrayContaining(["bridge", "host", "null"]));
        for (const { driver } of networks.list()) expect(networks.drivers).toContain(driver);
        const unknown = networks.create(settings("front", { driver: "no such driver" }));
        await expect(unknown).rejects.toMatchObject({ code: "invalid-argument" });
        expect(networks.find("front")).toBeUndefined();
      });

      test("before a start nothing can be connected", async () => {
        const closed = place.open();
        const early = closed.sandbox({ containerId: "c", containerName: "c", namespaceFd: place.namespace() });
        await expect(early.connect(networks.defaultNetwork()!.id)).rejects.toMatchObject({ code: "internal" });
        await expect(closed.create(settings("front"))).rejects.toMatchObject({ code: "internal" });
      });

      test("a new one has a subnet of its own, and exists after the next start", async () => {
        const front = await networks.create(settings("front", { labels: { a: "b" } }));
        const back = await networks.create(settings("back"));
        expect(front).toMatchObject({ name: "front", driver: "bridge", builtin: false, labels: { a: "b" } });
        const subnets = networks.list().flatMap(({ pools }) => pools.map(({ subnet }) => subnet));
        expect(new Set(subnets).size).toBe(3);
        await networks.stop(true);
        networks = place.open();
        await networks.start([]);
        expect([networks.find("front"), networks.find("back")]).toEqual([front, back]);
        expect((await connect(sandbox(), front)).gateways.ipv4).toBe(front.pools[0]!.gateway);
      });

      test("two networks cannot have the same name or subnet", async () => {
        const pools = [{ family: "ipv4", subnet: "10.55.0.0/24" }] as const;
        const front = await networks.create(settings("front", { pools }));
        expect(front.pools).toEqual([{ family: "ipv4", subnet: "10.55.0.0/24", gateway: "10.55.0.1" }]);
        await expect(networks.create(settings("front"))).rejects.toMatchObject({ code: "conflict" });
        await expect(networks.create(settings("other", { pools }))).rejects.toMatchObject({ code: "forbidden" });
        const twice = ["10.56.0.0/16", "10.56.7.0/24"].map((subnet) => ({ family: "ipv4" as const, subnet }));
        const overlapping = networks.create(settings("other", { pools: twice }));
        await expect(overlapping).rejects.toMatchObject({ code: "forbidden" });
        expect(networks.find("other")).toBeUndefined();
      });

      test("a network is removed when nobody is connected to it; networks of the settings are never removed", async () => {
        const front = await networks.create(settings("front"));
        const one = sandbox();
        await connect(one, front);
        await expect(networks.remove(front.id)).rejects.toMatchObject({ code: "conflict" });
        await one.close();
        await networks.remove(front.id);
        expect(networks.find("front")).toBeUndefined();
        await expect(networks.remove(front.id)).rejects.toMatchObject({ code: "not-found" });
        await expect(networks.remove(networks.defaultNetwork()!.id)).rejects.toMatchObject({ code: "forbidden" });
        await expect(connect(sandbox(), front)).rejects.toMatchObject({ code: "not-found" });
      });
    });

    describe("a sandbox", () => {
      test("connects and closes; both are visible at once, and closing again is no error", async () => {
        const network = networks.defaultNetwork()!;
        const one = sandbox();
        const endpoint = await connect(one, network);
        expect(endpoint).toMatchObject({ networkId: network.id, networkName: network.name, interfaceName: "eth0" });
        expect(endpoint.gateways.ipv4).toBe(network.pools[0]!.gateway);
        expect(one.endpoints).toEqual([endpoint]);
        expect(one.gateway("ipv4")).toEqual(endpoint);
        expect(one.gateway("ipv6")).toBeUndefined();
        expect(one.addresses).toEqual([addressOf(endpoint)]);
        expect(networks.endpoints(network.id)).toEqual([endpoint]);
        const handle = { containerId: endpoint.containerId, containerName: "c1" };
        expect(networks.sandbox(handle).endpoints).toEqual([endpoint]);
        await networks.sandbox(handle).close();
        expect([one.endpoints, networks.endpoints(network.id)]).toEqual([[], []]);
        await one.close();
        await one.disconnect(endpoint.endpointId);
      });

      test("has no endpoint in a network without interfaces", async () => {
        for (const network of networks.list().filter(({ pools }) => pools.length === 0))
          expect(await sandbox().connect(network.id)).toBeUndefined();
        expect(networks.list().filter(({ pools }) => pools.length === 0)).not.toEqual([]);
      });

      test("cannot be connected twice to one network, or without a namespace", async () => {
        const network = networks.defaultNetwork()!;
        const one = sandbox();
        await connect(one, network);
        await expect(connect(one, network)).rejects.toMatchObject({ code: "conflict" });
        expect(one.endpoints).toHaveLength(1);
        const none = networks.sandbox({ containerId: "n", containerName: "none" });
        await expect(none.connect(network.id)).rejects.toMatchObject({ code: "internal" });
      });

      test("in two networks: the name decides on the gateway, a higher priority comes before it, and the first one comes back", async () => {
        const front = await networks.create(settings("front"));
        const back = await networks.create(settings("back"));
        const top = await networks.create(settings("top"));
        const one = sandbox();
        expect((await connect(one, front)).interfaceName).toBe("eth0");
        expect(one.gateway("ipv4")?.networkName).toBe("front");
        const second = await connect(one, back);
        expect(second.interfaceName).toBe("eth1");
        expect(one.gateway("ipv4")?.networkName).toBe("back");
        await connect(one, top, 5);
        expect(one.gateway("ipv4")?.networkName).toBe("top");
        expect(one.endpoints.map(({ interfaceName }) => interfaceName)).toEqual(["eth0", "eth1", "eth2"]);
        expect(one.addresses).toEqual(one.endpoints.map(addressOf));
        const highest = one.gateway("ipv4")!;
        await one.disconnect(second.endpointId);
        expect(one.gateway("ipv4")).toEqual(highest);
        await one.disconnect(highest.endpointId);
        expect(one.gateway("ipv4")?.networkName).toBe("front");
        // The lowest name that is free.
        expect((await connect(one, back)).interfaceName).toBe("eth1");
        await one.close();
      });

      test("leads nowhere from an internal network", async () => {
        const inner = await networks.create(settings("inner", { internal: true }));
        const one = sandbox();
        expect((await connect(one, inner, 9)).gateways).toEqual({});
        expect(one.gateway("ipv4")).toBeUndefined();
        await connect(one, networks.defaultNetwork()!);
        expect(one.gateway("ipv4")?.networkName).toBe(networks.defaultNetwork()!.name);
      });

      test("an address of one's own: only in a network that a user made, and once", async () => {
        const pools = [{ family: "ipv4", subnet: "10.55.0.0/24" }] as const;
        const front = await networks.create(settings("front", { pools }));
        const endpoint = await sandbox().connect(front.id, { ipv4Address: "10.55.0.77" });
        expect(addressOf(endpoint!)).toBe("10.55.0.77");
        await expect(sandbox().connect(front.id, { ipv4Address: "10.55.0.77" })).rejects.toMatchObject({
          code: "conflict",
        });
        for (const [network, ipv4Address] of [
          [front, "10.56.0.1"],
          [networks.defaultNetwork()!, "172.17.0.99"],
        ] as const)
          await expect(sandbox().connect(network.id, { ipv4Address })).rejects.toMatchObject({
            code: "invalid-argument",
          });
        expect(networks.endpoints(front.id)).toHaveLength(1);
      });
    });

    describe("published ports", () => {
      test("are at the gateway, and move with it", async () => {
        const front = await networks.create(settings("front"));
        const back = await networks.create(settings("back"));
        const one = sandbox(port(8601), port(8602));
        expect((await connect(one, front)).ports).toMatchObject([{ hostPort: 8601 }, { hostPort: 8602 }]);
        await connect(one, back, -1);
        expect(portsIn(one)).toEqual(["front 8601", "front 8602"]);
        await one.disconnect(one.endpoints[1]!.endpointId);
        const better = await connect(one, back, 1);
        expect(better.ports).toMatchObject([{ hostPort: 8601 }, { hostPort: 8602 }]);
        expect(portsIn(one)).toEqual(["back 8601", "back 8602"]);
        await one.disconnect(better.endpointId);
        expect(portsIn(one)).toEqual(["front 8601", "front 8602"]);
      });

      test("belong to one container: another is rejected, the error names its endpoint, and nothing is left", async () => {
        const network = networks.defaultNetwork()!;
        const one = sandbox(port(8603));
        await connect(one, network);
        const other = sandbox(port(8603));
        await expect(connect(other, network)).rejects.toThrow(
          /^driver failed programming external connectivity on endpoint c2 \([0-9a-f]{64}\): Bind for [0-9.]+:8603 failed: port is already allocated$/,
        );
        expect(other.endpoints).toEqual([]);
        await one.close();
        expect((await connect(other, network)).ports).toHaveLength(1);
      });
    });

    describe("containers that run when a daemon starts", () => {
      test("keeps addresses and ports; unknown endpoints are removed", async () => {
        const network = networks.defaultNetwork()!;
        const kept = await connect(sandbox(port(8604)), network);
        await connect(sandbox(port(8605)), network);
        await networks.stop(true);
        networks = place.open();
        expect((await networks.start([kept])).warnings).toEqual([]);
        expect(networks.endpoints(network.id)).toEqual([kept]);
        await expect(connect(sandbox(port(8604)), network)).rejects.toMatchObject({ code: "conflict" });
        const next = await connect(sandbox(port(8605)), network);
        expect(addressOf(next)).not.toBe(addressOf(kept));
        await networks.sandbox({ containerId: kept.containerId, containerName: "c1" }).close();
        expect(networks.endpoints(network.id)).toEqual([next]);
        await networks.sandbox({ containerId: next.containerId, containerName: "c4" }).close();
        expect(networks.endpoints(network.id)).toEqual([]);
        await connect(sandbox(port(8604), port(8605)), network);
      });
    });

    if (faults === undefined) return;

    for (const call of ["sandbox.connect", "sandbox.disconnect", "sandbox.close", "networks.create"])
      test(`${call} that fails changes nothing, and one that hangs blocks nobody else`, async () => {
        const network = networks.defaultNetwork()!;
        const one = sandbox();
        const before = call === "sandbox.disconnect" || call === "sandbox.close" ? [await connect(one, network)] : [];
        const rows = networks.list();
        const act = (): Promise<unknown> => {
          if (call === "networks.create") return networks.create(settings("front"));
          if (call === "sandbox.connect") return connect(one, network);
          return call === "sandbox.close" ? one.close() : one.disconnect(before[0]!.endpointId);
        };
        faults.failNext(call);
        await expect(act()).rejects.toThrow("as the test planned");
        expect([one.endpoints, networks.list()]).toEqual([before, rows]);
        const hang = faults.hangNext(call);
        const hanging = act();
        await hang.reached;
        expect([one.endpoints, networks.list()]).toEqual([before, rows]);
        await connect(sandbox(), network);
        hang.goOn();
        await hanging;
        expect([one.endpoints, networks.list()]).not.toEqual([before, rows]);
      });
  });
}
