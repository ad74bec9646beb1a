/**
 * One container in two networks, made only with the sandbox: addresses, routes, which network leads outside and has the ports, and what is left
 * after each disconnection.
 */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Endpoint, NetworkInfo, NetworkManager, Sandbox } from "@fathom/network";
import {
  addressOf,
  ask,
  connectOutside,
  forwarderFiles,
  forwarders,
  hostInterfaces,
  isInside,
  makeNetworks,
  port,
  run,
  runInside,
  Space,
} from "./world.ts";
import { memoryState } from "@fathom/network/testing";
import { until } from "@fathom/base/testing";

if (!isInside) {
  test("a sandbox on two networks, in a network namespace of its own", async () => {
    const { code, output } = await runInside(import.meta.path);
    if (code !== 0) console.error(output);
    expect(code).toBe(0);
  }, 120_000);
} else {
  describe("a container connected to two networks", () => {
    const state = memoryState();
    let networks: NetworkManager;
    let outside: Space;
    let front: NetworkInfo;
    let back: NetworkInfo;

    beforeAll(async () => {
      run("ip", "link", "set", "lo", "up");
      outside = new Space();
      connectOutside(outside);
      networks = makeNetworks({}, state);
      await networks.start([]);
      const plain = { driver: "bridge", internal: false, options: {}, labels: {} };
      front = await networks.create({ ...plain, name: "front", pools: [{ family: "ipv4", subnet: "10.60.0.0/24" }] });
      back = await networks.create({ ...plain, name: "back", pools: [{ family: "ipv4", subnet: "10.61.0.0/24" }] });
    });
    afterAll(async () => {
      rmSync(forwarderFiles, { recursive: true, force: true });
      await networks.stop(false);
      await outside[Symbol.asyncDispose]();
    });

    function sandbox(name: string, space: Space, ...ports: string[]): Sandbox {
      return networks.sandbox({
        containerId: name.padEnd(64, "0"),
        containerName: name,
        namespaceFd: space.fd,
        ports: ports.map(port),
      });
    }
    const bridgeOf = ({ id }: NetworkInfo): string => `br-${id.slice(0, 12)}`;
    const defaultRoutes = (space: Space): string[] =>
      space
        .run("ip", "route", "show", "default")
        .trim()
        .split("\n")
        .map((line) => line.trim());

    test("two bridges, each with its address, and rules for both", () => {
      expect(run("ip", "-4", "-o", "addr", "show", bridgeOf(front))).toContain("10.60.0.1/24");
      expect(run("ip", "-4", "-o", "addr", "show", bridgeOf(back))).toContain("10.61.0.1/24");
      const rules = run("nft", "list", "table", "ip", "fathom");
      for (const bridge of ["fathom0", bridgeOf(front), bridgeOf(back)]) expect(rules).toContain(`"${bridge}"`);
    });

    test("the container reaches both, the name decides which network leads outside and has the ports, and the container can leave each of them", async () => {
      await using space = new Space();
      await using inFront = new Space();
      await using inBack = new Space();
      await using stranger = new Space();
      const both = sandbox("both", space, "8701:80");
      await space.serve("tcp", 80);
      await inFront.serve("tcp", 7000);
      await inBack.serve("tcp", 7000);
      await outside.serve("tcp", 7001);
      const ofFront = await connect(sandbox("front", inFront), front);
      const ofBack = await connect(sandbox("back", inBack), back);
      await connect(sandbox("stranger", stranger), networks.defaultNetwork()!);

      // One network: it leads outside and has the port.
      const first = await connect(both, front);
      expect(defaultRoutes(space)).toEqual(["default via 10.60.0.1 dev eth0"]);
      expect(await ask("tcp", "127.0.0.1", 8701)).toBe("hello 10.60.0.1");
      expect(await space.ask("tcp", addressOf(ofBack), 7000)).toBe("silent");

      // "back" comes before "front": the route and the port move, on IPv6 too.
      const second = await connect(both, back);
      expect(both.endpoints.map(({ networkName, interfaceName }) => `${networkName} ${interfaceName}`)).toEqual([
        "front eth0",
        "back eth1",
      ]);
      const addresses = space.run("ip", "-4", "-o", "addr");
      expect(addresses).toContain(`${addressOf(first)}/24 brd 10.60.0.255`);
      expect(addresses).toContain(`${addressOf(second)}/24 brd 10.61.0.255`);
      expect(defaultRoutes(space)).toEqual(["default via 10.61.0.1 dev eth1"]);
      expect(both.gateway("ipv4")?.networkName).toBe("back");
      expect(both.addresses).toEqual([addressOf(first), addressOf(second)]);
      expect(await space.ask("tcp", addressOf(ofFront), 7000)).toBe(`hello ${addressOf(first)}`);
      expect(await space.ask("tcp", addressOf(ofBack), 7000)).toBe(`hello ${addressOf(second)}`);
      expect(await inFront.ask("tcp", addressOf(first), 80)).toBe(`hello ${addressOf(ofFront)}`);
      expect(await inBack.ask("tcp", addressOf(second), 80)).toBe(`hello ${addressOf(ofBack)}`);
      expect(await space.ask("tcp", "198.51.100.50", 7001)).toBe("hello 198.51.100.1");
      expect(both.endpoints.map(({ ports }) => ports.map(({ hostIp, hostPort }) => `${hostIp} ${hostPort}`))).toEqual([
        [],
        ["0.0.0.0 8701", ":: 8701"],
      ]);
      expect(await ask("tcp", "127.0.0.1", 8701)).toBe("hello 10.61.0.1");
      expect(await ask("tcp", "::1", 8701)).toBe("hello 10.61.0.1");
      expect(await outside.ask("tcp", "198.51.100.1", 8701)).toBe("hello 198.51.100.50");
      expect(forwarders.list()).toEqual([second.endpointId]);
      // Networks reach each other only through published ports.
      expect(await stranger.ask("tcp", addressOf(second), 80)).toBe("silent");
      expect(await inFront.ask("tcp", addressOf(ofBack), 7000)).toBe("silent");
      expect(await stranger.ask("tcp", "198.51.100.1", 8701)).toStartWith("hello");

      // Without "back" everything is as before, and its interface is removed at once.
      const links = hostInterfaces().length;
      await both.disconnect(second.endpointId);
      expect(hostInterfaces()).toHaveLength(links - 1);
      expect(space.run("ip", "-o", "link")).not.toContain("eth1");
      expect(defaultRoutes(space)).toEqual(["default via 10.60.0.1 dev eth0"]);
      expect(await ask("tcp", "127.0.0.1", 8701)).toBe("hello 10.60.0.1");
      expect(await ask("tcp", "::1", 8701)).toBe("hello 10.60.0.1");
      expect(await space.ask("tcp", addressOf(ofBack), 7000)).toBe("silent");
      expect(await space.ask("tcp", "198.51.100.50", 7001)).toBe("hello 198.51.100.1");

      // Once more, with a priority against it; then the gateway is disconnected.
      await connect(both, back, -1);
      expect(both.gateway("ipv4")?.networkName).toBe("front");
      expect(defaultRoutes(space)).toEqual(["default via 10.60.0.1 dev eth0"]);
      await both.disconnect(first.endpointId);
      expect(defaultRoutes(space)).toEqual(["default via 10.61.0.1 dev eth1"]);
      expect(await ask("tcp", "127.0.0.1", 8701)).toBe("hello 10.61.0.1");

      for (const name of ["both", "front", "back", "stranger"])
        await networks.sandbox({ containerId: name.padEnd(64, "0"), containerName: name }).close();
      expect(await ask("tcp", "127.0.0.1", 8701)).toBe("refused");
      expect(await ask("tcp", "::1", 8701)).toBe("refused");
      expect(forwarders.list()).toEqual([]);
      expect(run("nft", "list", "ruleset")).not.toContain("8701");
      await until("no interface of a container is left", () => hostInterfaces().length === 0);
    }, 60_000);

    test("rules that another program flushed are restored before a network is made or removed, and before ports move", async () => {
      await using space = new Space();
      await space.serve("tcp", 80);
      const plain = { driver: "bridge", pools: [], internal: false, options: {}, labels: {} };
      const flush = (): string => run("nft", "flush", "ruleset");
      const both = sandbox("flushed", space, "8711:80");
      await both.connect(front.id);
      const better = await both.connect(back.id, { gatewayPriority: 1 });
      flush();
      const third = await networks.create({ ...plain, name: "third" });
      expect(run("nft", "list", "table", "ip", "fathom")).toContain(bridgeOf(third));
      flush();
      await networks.remove(third.id);
      expect(networks.find("third")).toBeUndefined();
      flush();
      await both.disconnect(better!.endpointId);
      expect(both.endpoints.map(({ ports }) => ports.length)).toEqual([2]);
      expect(await ask("tcp", "127.0.0.1", 8711)).toBe("hello 10.60.0.1");
      await both.close();
    });

    test("after a daemon's restart both endpoints are found, and a removed network leaves nothing", async () => {
      await using space = new Space();
      await space.serve("tcp", 80);
      const both = sandbox("kept", space, "8702:80");
      await connect(both, front);
      await connect(both, back);
      const known = both.endpoints;
      await networks.stop(true);
      expect(await ask("tcp", "127.0.0.1", 8702)).toBe("hello 10.61.0.1");
      networks = makeNetworks({}, state);
      expect((await networks.start(known)).warnings).toEqual([]);
      expect(sandbox("kept", space).endpoints).toEqual(known);
      expect(await ask("tcp", "127.0.0.1", 8702)).toBe("hello 10.61.0.1");
      await sandbox("kept", space, "8702:80").disconnect(known[1]!.endpointId);
      expect(await ask("tcp", "127.0.0.1", 8702)).toBe("hello 10.60.0.1");
      await sandbox("kept", space).close();
      for (const { id } of [front, back]) await networks.remove(id);
      expect(run("ip", "-o", "link")).not.toContain("br-");
      expect(run("nft", "list", "ruleset")).not.toContain("br-");
      expect(networks.list().map(({ name }) => name)).not.toContain("front");
    }, 60_000);
  });
}

async function connect(to: Sandbox, network: NetworkInfo, gatewayPriority = 0): Promise<Endpoint> {
  const endpoint = await to.connect(network.id, { gatewayPriority });
  if (endpoint === undefined) throw new Error(`no endpoint in ${network.name}`);
  return endpoint;
}
