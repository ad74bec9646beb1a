/** Networks with IPv6: who reaches whom, with which address, and what is left afterwards. */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Endpoint, EndpointSettings, NetworkInfo, NetworkManager, NetworkSettings } from "@fathom/network";
import { ask, connectOutside, forwarderFiles, isInside, makeNetworks, port, run, runInside, Space } from "./world.ts";
import { memoryState } from "@fathom/network/testing";

if (!isInside) {
  test("networks with IPv6, in a network namespace of their own", async () => {
    const { code, output } = await runInside(import.meta.path);
    if (code !== 0) console.error(output);
    expect(code).toBe(0);
  }, 120_000);
} else {
  describe("networks with IPv6", () => {
    const state = memoryState();
    let networks: NetworkManager;
    let outside: Space;
    let front: NetworkInfo;
    let back: NetworkInfo;

    beforeAll(async () => {
      run("ip", "link", "set", "lo", "up");
      outside = new Space();
      connectOutside(outside);
      run("ip", "addr", "add", "2001:db8::1/64", "dev", "out0", "nodad");
      outside.run("ip", "addr", "add", "2001:db8::50/64", "dev", "out1", "nodad");
      networks = makeNetworks({}, state);
      await networks.start([]);
      expect(run("nft", "list", "tables")).not.toContain("ip6");
      front = await make("front", "fd00:1::/64");
      back = await make("back", "fd00:2::/64");
    });
    afterAll(async () => {
      rmSync(forwarderFiles, { recursive: true, force: true });
      await networks.stop(false);
      await outside[Symbol.asyncDispose]();
    });

    function make(name: string, subnet: string, change: Partial<NetworkSettings> = {}): Promise<NetworkInfo> {
      const pools = [{ family: "ipv6", subnet } as const];
      const plain = { driver: "bridge", internal: false, options: {}, labels: {} };
      return networks.create({ ...plain, name, families: ["ipv4", "ipv6"], pools, ...change });
    }
    async function connect(
      space: Space,
      network: NetworkInfo,
      settings: EndpointSettings = {},
      ...ports: string[]
    ): Promise<Endpoint & AsyncDisposable> {
      const containerId = `${network.name}${space.fd}`.padEnd(64, "0");
      const request = { containerId, containerName: "c", namespaceFd: space.fd, ports: ports.map(port) };
      const endpoint = (await networks.sandbox(request).connect(network.id, settings))!;
      return { ...endpoint, [Symbol.asyncDispose]: () => networks.sandbox(request).close() };
    }
    const six = ({ addresses }: Endpoint): string => addresses.find(({ family }) => family === "ipv6")!.address;

    test("containers of one network reach each other and the host, and the host reaches them", async () => {
      await using one = new Space();
      await using two = new Space();
      await using first = await connect(one, front);
      await using second = await connect(two, front, { ipv6Address: "fd00:1::77" });
      expect([six(first), six(second)]).toEqual(["fd00:1::2", "fd00:1::77"]);
      await two.serve("tcp", 80, "::");
      expect(await one.ask("tcp", six(second), 80)).toBe("hello fd00:1::2");
      expect(await ask("tcp", six(second), 80)).toBe("hello fd00:1::1");
      expect(one.run("ip", "-6", "route", "show", "default")).toContain("via fd00:1::1");
    });

    test("the outside is reached with the host's address, and reaches containers only by published ports", async () => {
      await using one = new Space();
      await using first = await connect(one, front, {}, "8801:80");
      await outside.serve("tcp", 7100, "::");
      expect(await one.ask("tcp", "2001:db8::50", 7100)).toBe("hello 2001:db8::1");
      await one.serve("tcp", 80, "::");
      outside.run("ip", "-6", "route", "replace", "fd00:1::/64", "via", "2001:db8::1");
      expect(await outside.ask("tcp", six(first), 80)).toBe("silent");
      expect(await outside.ask("tcp", "2001:db8::1", 8801)).toStartWith("hello");
    });

    test("networks do not reach each other; an internal one leads nowhere; an unprotected one is open", async () => {
      await using one = new Space();
      await using two = new Space();
      await using three = new Space();
      await using four = new Space();
      const cell = await make("cell", "fd00:3::/64", { internal: true });
      const mode = "com.docker.network.bridge.gateway_mode_ipv6";
      const open = await make("open", "fd00:4::/64", { options: { [mode]: "nat-unprotected" } });
      {
        await using _first = await connect(one, front, {}, "8804:80", "fd00:1::1 8805:80");
        await using second = await connect(two, back);
        await using third = await connect(three, cell);
        await using fourth = await connect(four, open);
        for (const space of [one, two, three, four]) await space.serve("tcp", 80, "::");
        expect(await one.ask("tcp", six(second), 80)).toBe("silent");
        expect(third.gateways).toEqual({});
        three.run("ip", "-6", "route", "add", "default", "via", "fd00:3::1");
        await outside.serve("tcp", 7101, "::");
        expect(await three.ask("tcp", "2001:db8::50", 7101)).toBe("silent");
        expect(await one.ask("tcp", six(third), 80)).toBe("silent");
        for (const [address, number] of [
          ["fd00:1::1", 8804],
          ["fd00:1::1", 8805],
          ["fd00:3::1", 8804],
        ] as const) {
          expect(await three.ask("tcp", address, number)).toBe("silent");
          if (address === "fd00:1::1") expect(await two.ask("tcp", address, number)).toStartWith("hello");
        }
        outside.run("ip", "-6", "route", "replace", "fd00:4::/64", "via", "2001:db8::1");
        expect(await outside.ask("tcp", six(fourth), 80)).toBe("hello 2001:db8::50");
      }
      await networks.remove(cell.id);
      await networks.remove(open.id);
    });

    test("a routed network: its own addresses outside, and only its published ports from outside", async () => {
      const options = Object.fromEntries(
        ["ipv4", "ipv6"].map((family) => [`com.docker.network.bridge.gateway_mode_${family}`, "routed"]),
      );
      const routed = await make("routed", "fd00:6::/64", { options });
      await using one = new Space();
      {
        await using endpoint = await connect(one, routed, {}, "8803:80");
        const [{ address } = { address: "" }] = endpoint.addresses;
        for (const number of [80, 81]) await one.serve("tcp", number, "::");
        outside.run("ip", "-6", "route", "replace", "fd00:6::/64", "via", "2001:db8::1");
        outside.run("ip", "route", "replace", `${address}/32`, "via", "198.51.100.1");
        for (const [target, seen] of [
          [six(endpoint), "2001:db8::50"],
          [address, "198.51.100.50"],
        ] as const) {
          expect(await outside.ask("tcp", target, 80)).toEndWith(seen);
          expect(await outside.ask("tcp", target, 81)).toBe("silent");
        }
        expect(await outside.ask("tcp", "198.51.100.1", 8803)).toBe("refused");
        await outside.serve("tcp", 7103, "::");
        expect(await one.ask("tcp", "2001:db8::50", 7103)).toBe(`hello ${six(endpoint)}`);
      }
      await networks.remove(routed.id);
    });

    test("a network without IPv4: ports are published on the host's IPv6 addresses", async () => {
      const alone = await make("alone", "fd00:5::/64", { families: ["ipv6"] });
      await using one = new Space();
      {
        await using endpoint = await connect(one, alone, {}, "8802:80");
        expect(endpoint.addresses.map(({ address }) => address)).toEqual(["fd00:5::2"]);
        expect(endpoint.ports).toMatchObject([{ hostIp: "::", hostPort: 8802 }]);
        await one.serve("tcp", 80, "::");
        expect(await ask("tcp", "::1", 8802)).toStartWith("hello");
        expect(await outside.ask("tcp", "2001:db8::1", 8802)).toStartWith("hello");
      }
      await networks.remove(alone.id);
    });

    test("a host that forwards for containers does not forward between its other interfaces", async () => {
      await using other = new Space();
      run("ip", "link", "add", "second0", "type", "veth", "peer", "name", "second1", "netns", other.path);
      run("ip", "addr", "add", "2001:db8:1::1/64", "dev", "second0", "nodad");
      run("ip", "link", "set", "second0", "up");
      other.run("ip", "addr", "add", "2001:db8:1::2/64", "dev", "second1", "nodad");
      other.run("ip", "link", "set", "second1", "up");
      other.run("ip", "-6", "route", "add", "default", "via", "2001:db8:1::1");
      outside.run("ip", "-6", "route", "replace", "2001:db8:1::/64", "via", "2001:db8::1");
      await outside.serve("tcp", 7102, "::");
      expect(run("cat", "/proc/sys/net/ipv6/conf/all/forwarding").trim()).toBe("1");
      expect(await other.ask("tcp", "2001:db8::50", 7102)).toBe("silent");
    });

    test("the next start and the last network: the table is there while it is needed", async () => {
      await networks.stop(true);
      networks = makeNetworks({}, state);
      expect((await networks.start([])).warnings).toEqual([]);
      expect(run("nft", "list", "table", "ip6", "fathom")).toContain("forwarding was turned on for containers alone");
      await networks.remove(front.id);
      expect(run("nft", "list", "tables")).toContain("ip6");
      await networks.remove(back.id);
      expect(run("nft", "list", "tables")).not.toContain("ip6");
    });
  });
}
