import { describe, expect, test } from "bun:test";
import { type Clock } from "@fathom/base";
import type { Endpoint, EndpointSettings, NetworkInfo, NetworkManager, PortRequest } from "./contract.ts";
import { networkConfig, type DefaultNetworkOptions } from "./default-networks.ts";
import { FakeKernel } from "./testing/fake-kernel.ts";
import { createNetworkManager } from "./manager.ts";
import { readNetwork } from "./stored.ts";
import { memoryState, optionsInMemory } from "./testing/settings.ts";

const clock: Clock = { nowNs: () => 1_700_000_000_000_000_000n, monotonicMs: () => 0, sleep: () => Promise.resolve() };

const published: PortRequest = {
  protocol: "tcp",
  containerPort: 80,
  hostIp: "",
  hostPortFirst: 8080,
  hostPortLast: 8080,
};

const userNetwork = { driver: "bridge", pools: [], internal: false, options: {}, labels: {} };

let counter = 0;

/** Connects a container of its own to the default network. */
async function attach(
  networks: NetworkManager,
  ports: readonly PortRequest[] = [],
  settings: EndpointSettings = {},
): Promise<Endpoint> {
  const containerId = String(++counter).padStart(64, "c");
  const sandbox = networks.sandbox({ containerId, containerName: "web", namespaceFd: 9, ports });
  return (await sandbox.connect(networks.defaultNetwork()!.id, settings))!;
}

/** As when the container has ended. */
function detach(networks: NetworkManager, { containerId }: Endpoint): Promise<void> {
  return networks.sandbox({ containerId, containerName: "web" }).close();
}

async function running(
  changed: Partial<DefaultNetworkOptions> = {},
  kernel = new FakeKernel(),
  state = memoryState(),
  known: Endpoint[] = [],
) {
  const networks = createNetworkManager({
    sys: kernel.sys,
    config: networkConfig({ ...optionsInMemory, ...changed }),
    state,
    clock,
  });
  const { warnings } = await networks.start(known);
  return { networks, kernel, state, warnings };
}
const addressOf = ({ addresses }: Endpoint): string => addresses.map(({ address }) => address).join();
const containerLinks = (kernel: FakeKernel): string[] =>
  [...kernel.links.keys()].filter((name) => name.startsWith("veth"));

describe("start", () => {
  test("makes the bridge and three rows, which keep their ids", async () => {
    const { kernel, state, networks, warnings } = await running();
    expect(warnings).toEqual([]);
    expect(kernel.links.get("fathom0")?.kind).toBe("bridge");
    expect(kernel.files.get("/proc/sys/net/ipv4/conf/fathom0/route_localnet")).toBe("1");
    expect(networks.find("bridge")).toMatchObject({
      driver: "bridge",
      pools: [{ family: "ipv4", subnet: "172.17.0.0/16", gateway: "172.17.0.1" }],
      builtin: true,
      createdAt: "2023-11-14T22:13:20Z",
    });
    expect(networks.find("bridge")!.options["com.docker.network.driver.mtu"]).toBe("1500");
    await networks.stop(true);
    const again = await running({}, kernel, state);
    expect(again.networks.list().map(({ id }) => id)).toEqual(networks.list().map(({ id }) => id));
    const { id } = again.networks.find("host")!;
    expect(again.networks.find(id)).toBe(again.networks.find(id.slice(0, 8))!);
    expect(again.networks.find("")).toBeUndefined();
  });

  test.each([["no row of the bridge"], ["the row of another bridge"]])(
    "a database made again or from an older backup, with %s: running containers keep network, address and link",
    async (which) => {
      // Another network than the first free one.
      const { networks, kernel } = await running({ bridgeAddress: "10.77.0.1/24" });
      const { id } = networks.find("bridge")!;
      const endpoint = await attach(networks, [published]);
      await networks.stop(true);
      const state = memoryState();
      const other: NetworkInfo = { ...networks.find("bridge")!, id: "b".repeat(64), pools: [] };
      if (which === "the row of another bridge")
        state.saveNetwork({ ...other, pools: [{ family: "ipv4", subnet: "172.20.0.0/16", gateway: "172.20.0.1" }] });
      const again = await running({}, kernel, state, [endpoint]);
      expect(again.warnings).toEqual([
        `the network bridge ${id} was not in the database and was added from the containers that run in it`,
      ]);
      expect(again.networks.find("bridge")).toMatchObject({
        id,
        pools: [{ family: "ipv4", subnet: "10.77.0.0/24", gateway: "10.77.0.1" }],
      });
      expect(
        again.networks
          .list()
          .map(({ name }) => name)
          .sort(),
      ).toEqual(["bridge", "host", "none"]);
      expect(again.networks.endpoints(id)).toEqual([endpoint]);
      expect(containerLinks(kernel)).toContain(endpoint.hostInterface);
      const next = await attach(again.networks);
      expect(addressOf(next)).not.toBe(addressOf(endpoint));
      await expect(attach(again.networks, [published])).rejects.toThrow("port is already allocated");
    },
  );

  test("a row that has not changed is not written again", async () => {
    const { networks, kernel, state } = await running();
    await networks.stop(true);
    const written: string[] = [];
    const stored = {
      ...state,
      networks: () => state.networks().map((row) => readNetwork(JSON.parse(JSON.stringify(row)))),
      saveNetwork: (network: NetworkInfo) => void written.push(network.name),
    };
    await running({}, kernel, stored);
    expect(written).toEqual([]);
    await running({ mtu: 1400 }, kernel, stored);
    expect(written).toEqual(["bridge"]);
  });

  test("IP forwarding that was off is turned on with a warning, or only reported", async () => {
    const off = (): FakeKernel => {
      const kernel = new FakeKernel();
      kernel.files.set("/proc/sys/net/ipv4/ip_forward", "0\n");
      return kernel;
    };
    const on = await running({}, off());
    expect(on.warnings.join()).toContain("IPv4 forwarding was off and is on now");
    expect(on.kernel.files.get("/proc/sys/net/ipv4/ip_forward")).toBe("1");
    const left = await running({ ipForward: false }, off());
    expect(left.warnings.join()).toContain("IPv4 forwarding is disabled");
    expect(left.kernel.files.get("/proc/sys/net/ipv4/ip_forward")).toBe("0\n");
  });

  test("another kind of interface with the bridge's name is not changed", async () => {
    const kernel = new FakeKernel();
    kernel.links.set("fathom0", { index: 50, kind: "veth", master: 0 });
    await expect(running({}, kernel)).rejects.toThrow("interface fathom0 exists and is no bridge");
    for (const bridgeName of ["sixteen-letters-", "br%d", ".."])
      await expect(running({ bridgeName })).rejects.toThrow("invalid bridge name");
    await expect(running({ bridgeAddress: "172.17.0.0/16" })).rejects.toThrow("invalid bridge address 172.17.0.0/16");
  });

  test("a kernel without nf_tables: containers have a network, the error for ports has the reason", async () => {
    const kernel = new FakeKernel();
    const networks = createNetworkManager({
      sys: {
        ...kernel.sys,
        openNetlink: (protocol) => {
          if (protocol === 12) throw new Error("protocol not supported");
          return kernel.sys.openNetlink(protocol);
        },
      },
      config: networkConfig(optionsInMemory),
      state: memoryState(),
      clock,
    });
    const { warnings } = await networks.start([]);
    expect(warnings.join()).toContain("no firewall rules");
    await attach(networks);
    await expect(attach(networks, [published])).rejects.toThrow("ports cannot be published: protocol not supported");
  });
});

describe("attach and detach", () => {
  test("an endpoint contains everything that the engine must keep", async () => {
    const { networks, kernel } = await running();
    const endpoint = await attach(networks, [published]);
    expect(endpoint).toMatchObject({
      networkName: "bridge",
      interfaceName: "eth0",
      macAddress: "02:42:ac:11:00:02",
      addresses: [{ family: "ipv4", address: "172.17.0.2", prefixLength: 16 }],
      gateways: { ipv4: "172.17.0.1" },
      gatewayPriority: 0,
      ports: [{ protocol: "tcp", containerPort: 80, hostIp: "0.0.0.0", hostPort: 8080 }],
    });
    expect(containerLinks(kernel)).toEqual([endpoint.hostInterface]);
    expect([...kernel.open.values()]).toContain("0.0.0.0 8080/tcp");
    expect(networks.endpoints(endpoint.networkId)).toEqual([endpoint]);
    await detach(networks, endpoint);
    await detach(networks, endpoint);
    expect([...kernel.open.values()]).not.toContain("0.0.0.0 8080/tcp");
    expect([...kernel.elements].filter((element) => element.startsWith("published"))).toEqual([]);
    expect(networks.endpoints(endpoint.networkId)).toEqual([]);
    await networks.stop(false);
    expect(kernel.open.size).toBe(0);
  });

  test("a MAC address from the user; wrong settings are rejected in Docker's words", async () => {
    const { networks, kernel } = await running();
    expect((await attach(networks, [], { macAddress: "02-42-AC-AA-BB-01" })).macAddress).toBe("02:42:ac:aa:bb:01");
    await expect(attach(networks, [], { macAddress: "02:42:zz" })).rejects.toThrow(
      "02:42:zz is not a valid mac address",
    );
    await expect(attach(networks, [], { ipv4Address: "203.0.113.5" })).rejects.toThrow(
      "invalid config for network bridge: invalid endpoint settings:\n* user-specified IP address is supported on user-defined networks only\n* no configured subnet contains IP address 203.0.113.5",
    );
    await expect(attach(networks, [], { ipv4Address: "172.17.0.9" })).rejects.toThrow(
      "invalid endpoint settings:\nuser-specified IP address is supported on user-defined networks only",
    );
    expect(containerLinks(kernel)).toHaveLength(1);
  });

  test("a bridge that another program deleted is restored, with the containers that are connected to it", async () => {
    const { networks, kernel } = await running();
    const first = await attach(networks);
    kernel.links.delete("fathom0");
    kernel.links.set(first.hostInterface, { ...kernel.links.get(first.hostInterface)!, master: 0 });
    const second = await attach(networks);
    const { index } = kernel.links.get("fathom0")!;
    expect([first, second].map(({ hostInterface }) => kernel.links.get(hostInterface)?.master)).toEqual([index, index]);
    expect(addressOf(second)).not.toBe(addressOf(first));
    await networks.stop(true);
  });

  test("an interface of the host belongs to one network: a second network that asks for it is rejected and changes nothing", async () => {
    const { networks, kernel, state } = await running();
    const plain = { driver: "bridge", pools: [], internal: false, labels: {} };
    const option = (bridge: string) => ({ "com.docker.network.bridge.name": bridge });
    await networks.create({ ...plain, name: "front", options: option("br-front") });
    const before = structuredClone([kernel.links, kernel.elements, state.rows]);
    for (const bridge of ["fathom0", "br-front"])
      await expect(networks.create({ ...plain, name: "other", options: option(bridge) })).rejects.toMatchObject({
        code: "forbidden",
        message: expect.stringMatching(/^cannot create network .*: networks have same bridge name$/),
      });
    expect([kernel.links, kernel.elements, state.rows]).toEqual(before);
  });

  test("the error for a taken port names the endpoint and its id", async () => {
    const { networks } = await running();
    await attach(networks, [published]);
    await expect(attach(networks, [published])).rejects.toThrow(
      /^driver failed programming external connectivity on endpoint web \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8080 failed: port is already allocated$/,
    );
  });

  for (const kind of ["failCall", "failRequest"] as const)
    test(`a failure at any step leaves nothing (${kind})`, async () => {
      let attempts = 0;
      for (let at = 1; ; at++) {
        const { networks, kernel } = await running();
        const openBefore = kernel.open.size;
        const elementsBefore = [...kernel.elements];
        kernel[kind] = at;
        const failure = await attach(networks, [published]).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure === undefined) break;
        attempts = at;
        kernel[kind] = 0;
        expect(containerLinks(kernel)).toEqual([]);
        expect(kernel.open.size).toBe(openBefore);
        expect([...kernel.elements]).toEqual(elementsBefore);
        expect(networks.endpoints(networks.find("bridge")!.id)).toEqual([]);
        // Address and port are free again.
        expect((await attach(networks, [published])).ports[0]!.hostPort).toBe(8080);
      }
      expect(attempts).toBeGreaterThan(4);
    });
});

describe("restart", () => {
  test("known endpoints keep address and ports; unknown ones are removed", async () => {
    const { networks, kernel, state } = await running();
    const kept = await attach(networks, [published]);
    await networks.stop(true);
    expect(containerLinks(kernel)).toEqual([kept.hostInterface]);
    const again = await running({}, kernel, state, [kept]);
    expect(again.warnings).toEqual([]);
    expect(again.networks.endpoints(kept.networkId)).toEqual([kept]);
    expect(addressOf(await attach(again.networks))).toBe("172.17.0.3");
    await expect(attach(again.networks, [published])).rejects.toThrow("port is already allocated");
    await again.networks.stop(true);
    const empty = await running({}, kernel, state);
    expect(empty.networks.endpoints(kept.networkId)).toEqual([]);
    expect(containerLinks(kernel)).toEqual([]);
    await attach(empty.networks, [published]);
  });

  test("a network that cannot be opened at a start keeps its containers' ports, and is opened when it is needed", async () => {
    const { networks, kernel, state } = await running();
    const name = "br-front";
    const options = { "com.docker.network.bridge.name": name };
    const front = await networks.create({ ...userNetwork, name: "front", options });
    const request = { containerId: "f".repeat(64), containerName: "web", namespaceFd: 9, ports: [published] };
    const kept = (await networks.sandbox(request).connect(front.id))!;
    const elements = [...kernel.elements].sort();
    await networks.stop(true);
    const bridge = kernel.links.get(name)!;
    kernel.links.set(name, { ...bridge, kind: "dummy" });
    const again = await running({}, kernel, state, [kept]);
    expect(again.warnings.join()).toContain(
      `the network front cannot be used yet: interface ${name} exists and is no bridge`,
    );
    expect(again.networks.endpoints(front.id)).toEqual([kept]);
    expect([...kernel.elements].sort()).toEqual(elements);
    await expect(attach(again.networks, [published])).rejects.toThrow("port is already allocated");
    const next = () => again.networks.sandbox({ ...request, containerId: "e".repeat(64), ports: [] }).connect(front.id);
    await expect(next()).rejects.toThrow("exists and is no bridge");
    kernel.links.set(name, bridge);
    expect(addressOf((await next())!)).not.toBe(addressOf(kept));
    await detach(again.networks, kept);
    expect(again.networks.endpoints(front.id)).toHaveLength(1);
    expect([...kernel.open.values()]).not.toContain("0.0.0.0 8080/tcp");
  });

  test("a network that cannot be opened is removed with its rules", async () => {
    const { networks, kernel, state } = await running();
    const elements = [...kernel.elements].sort();
    const options = { "com.docker.network.bridge.name": "br-front" };
    const front = await networks.create({ ...userNetwork, name: "front", options });
    await networks.stop(true);
    kernel.links.set("br-front", { ...kernel.links.get("br-front")!, kind: "dummy" });
    const again = await running({}, kernel, state);
    await again.networks.remove(front.id);
    expect([...kernel.elements].sort()).toEqual(elements);
    expect(kernel.links.has("br-front")).toBe(true);
  });

  test("a connection without a row took the default route: after its removal the container gets the route again", async () => {
    const { networks, kernel, state } = await running();
    const front = await networks.create({ ...userNetwork, name: "front" });
    const request = { containerId: "f".repeat(64), containerName: "web", namespaceFd: 9 };
    const kept = (await networks.sandbox(request).connect(networks.defaultNetwork()!.id))!;
    await networks.sandbox(request).connect(front.id, { gatewayPriority: 1 });
    expect(kernel.defaultGateway).toBe(front.pools[0]!.gateway);
    await networks.stop(true);
    const again = createNetworkManager({ sys: kernel.sys, config: networkConfig(optionsInMemory), state, clock });
    expect(await again.start([kept])).toEqual({ warnings: [], interfacesRemoved: true });
    expect(kernel.defaultGateway).toBeUndefined();
    await again.sandbox(request).repair();
    expect(kernel.defaultGateway).toBe(kept.gateways.ipv4);
    // A route that somebody else made stays.
    await again.stop(true);
    expect(await again.start([kept])).toEqual({ warnings: [], interfacesRemoved: false });
    const before = kernel.calls.length;
    await again.sandbox(request).repair();
    expect(kernel.calls.slice(before)).toEqual(["openNetlink", "netlinkTransact"]);
  });

  test("a disconnection was interrupted after it had moved the ports: they come back", async () => {
    const { networks, kernel, state } = await running();
    const front = await networks.create({ ...userNetwork, name: "front" });
    const request = { containerId: "f".repeat(64), containerName: "web", namespaceFd: 9, ports: [published] };
    await networks.sandbox(request).connect(front.id);
    const kept = (await networks.sandbox(request).connect(networks.defaultNetwork()!.id, { gatewayPriority: -1 }))!;
    expect(kept.ports).toEqual([]);
    await networks.stop(true);
    const again = await running({}, kernel, state, [kept]);
    expect([...kernel.elements].filter((name) => name.startsWith("published"))).toEqual([]);
    await again.networks.sandbox(request).repair();
    const [endpoint] = again.networks.sandbox(request).endpoints;
    expect(endpoint!.ports).toMatchObject([{ hostPort: 8080 }]);
    expect([...kernel.elements].filter((name) => name.startsWith("published"))).toHaveLength(1);
    await again.networks.sandbox(request).repair();
    expect(again.networks.sandbox(request).endpoints).toEqual([endpoint!]);
  });

  test("use before start is an error that names the missing start", () => {
    const networks = createNetworkManager({
      sys: new FakeKernel().sys,
      config: networkConfig(optionsInMemory),
      state: memoryState(),
    });
    return expect(networks.remove("")).rejects.toThrow("used before their start");
  });
});
