/**
 * Sandboxes with a kernel in memory: the cost of a connection, and that each of its calls may fail. `testing/network-suite.ts` tests what every
 * implementation must do.
 */
import { describe, expect, test } from "bun:test";
import type { NetworkInfo, NetworkManager, PortRequest, Sandbox } from "../contract.ts";
import { networkConfig } from "../default-networks.ts";
import { createNetworkManager } from "../manager.ts";
import { FakeKernel } from "../testing/fake-kernel.ts";
import { memoryState, optionsInMemory } from "../testing/settings.ts";

const published: PortRequest = {
  protocol: "tcp",
  containerPort: 80,
  hostIp: "",
  hostPortFirst: 8080,
  hostPortLast: 8080,
};
const namespaceFd = 9;

/** A daemon with two networks that a user made, "back" and "front". */
class World {
  readonly kernel = new FakeKernel();
  readonly rows = new Map<string, NetworkInfo>();
  readonly networks: NetworkManager = createNetworkManager({
    sys: this.kernel.sys,
    config: networkConfig(optionsInMemory),
    state: memoryState(this.rows),
  });
  back!: NetworkInfo;
  front!: NetworkInfo;

  static async open(): Promise<World> {
    const world = new World();
    await world.networks.start([]);
    world.back = await world.create("back");
    world.front = await world.create("front");
    return world;
  }
  create(name: string): Promise<NetworkInfo> {
    const options = { "com.docker.network.bridge.name": `br-${name}` };
    return this.networks.create({ name, driver: "bridge", pools: [], internal: false, options, labels: {} });
  }
  /** The next daemon finds no running container. */
  async restart(): Promise<void> {
    await this.networks.stop(true);
    await this.networks.start([]);
  }
  sandbox(ports: readonly PortRequest[] = [], containerId = "c".repeat(64)): Sandbox {
    return this.networks.sandbox({ containerId, containerName: "web", namespaceFd, ports });
  }
  get links(): string[] {
    return [...this.kernel.links.keys()].sort();
  }
  /** The state of the kernel and the manager: a failed call must not change it. */
  state(): unknown {
    return {
      links: this.links,
      elements: [...this.kernel.elements].sort(),
      descriptors: [...this.kernel.open.values()].sort(),
      gateway: this.kernel.defaultGateway,
      endpoints: this.networks.list().map(({ id }) => this.networks.endpoints(id)),
      rows: [...this.rows.values()],
    };
  }
}

async function fails(action: Promise<unknown>): Promise<boolean> {
  return action.then(
    () => false,
    () => true,
  );
}

/** Makes each call and each netlink request of `action` fail once, until it succeeds. */
function eachFailure(
  name: string,
  before: (world: World) => Promise<unknown>,
  action: (world: World) => Promise<unknown>,
  after: (world: World, stateBefore: unknown) => Promise<void> | void,
): void {
  for (const kind of ["failCall", "failRequest"] as const)
    test(`${name} (${kind})`, async () => {
      for (let at = 1; ; at++) {
        const world = await World.open();
        await before(world);
        const stateBefore = structuredClone(world.state());
        world.kernel[kind] = at;
        const failed = await fails(action(world));
        const struck = world.kernel[kind] === 0;
        world.kernel[kind] = 0;
        if (!struck) {
          expect(at).toBeGreaterThan(3);
          return;
        }
        if (failed) await after(world, stateBefore);
      }
    });
}

describe("each call of the kernel fails once", () => {
  const unchanged = (world: World, before: unknown): void => expect(world.state()).toEqual(before);

  eachFailure(
    "the first connection leaves nothing",
    async () => undefined,
    (world) => world.sandbox([published]).connect(world.back.id),
    unchanged,
  );
  eachFailure(
    "one over an interface that was made ahead leaves at most that interface, which goes with its namespace",
    async () => undefined,
    async (world) => {
      const prepared = world.networks.prepareLink("back", namespaceFd);
      const request = { containerId: "c", containerName: "web", namespaceFd, ports: [published], prepared };
      return world.networks.sandbox(request).connect(world.back.id);
    },
    async (world, before) => {
      await world.restart();
      for (const link of world.links) if (link.startsWith("veth")) world.kernel.links.delete(link);
      unchanged(world, before);
    },
  );
  eachFailure(
    "a second one that would take the gateway and the ports leaves both where they were",
    (world) => world.sandbox([published]).connect(world.front.id),
    (world) => world.sandbox([published]).connect(world.back.id),
    unchanged,
  );
  eachFailure(
    "a network is made whole or not at all",
    async () => undefined,
    (world) => world.create("third"),
    unchanged,
  );

  const six = { families: ["ipv4", "ipv6"], options: { "com.docker.network.bridge.name": "br-six" } } as const;
  const makeSix = (world: World): Promise<NetworkInfo> =>
    world.networks.create({ name: "six", driver: "bridge", pools: [], internal: false, labels: {}, ...six });
  eachFailure("a network with IPv6 is made whole or not at all", async () => undefined, makeSix, unchanged);
  eachFailure(
    "a connection with addresses of both families, a name and kernel settings of its own leaves nothing",
    makeSix,
    (world) =>
      world.sandbox([published]).connect(world.networks.find("six")!.id, {
        interfaceName: "lan7",
        linkLocalAddresses: ["169.254.8.8"],
        sysctls: ["net.ipv4.conf.IFNAME.log_martians=1"],
      }),
    unchanged,
  );

  const mode = (family: string): string => `com.docker.network.bridge.gateway_mode_${family}`;
  const makeRouted = (world: World): Promise<NetworkInfo> =>
    world.networks.create({
      name: "a-routed",
      driver: "bridge",
      pools: [],
      internal: false,
      labels: {},
      families: ["ipv4", "ipv6"],
      options: { [mode("ipv4")]: "routed", [mode("ipv6")]: "routed" },
    });
  eachFailure(
    "a connection to a routed network leaves nothing",
    makeRouted,
    (world) => world.sandbox([published]).connect(world.networks.find("a-routed")!.id),
    unchanged,
  );
  eachFailure(
    "a connection to a routed network that would take the ports leaves them where they were",
    async (world) => {
      await makeRouted(world);
      await world.sandbox([published]).connect(world.front.id);
    },
    (world) => world.sandbox([published]).connect(world.networks.find("a-routed")!.id),
    unchanged,
  );

  eachFailure(
    "a network that cannot be removed stays as it was, with its rules",
    (world) => world.create("third"),
    (world) => world.networks.remove(world.networks.find("third")!.id),
    async (world, before) => {
      await world.sandbox([]).connect(world.front.id);
      await world.networks.sandbox({ containerId: "c", containerName: "web" }).close();
      await world.restart();
      unchanged(world, before);
    },
  );

  eachFailure(
    "a disconnection that fails has still gone as far as it could, and the next connection repairs the rest",
    async (world) => {
      await world.sandbox([published]).connect(world.front.id);
      await world.sandbox([published]).connect(world.back.id);
    },
    (world) => world.sandbox([published]).disconnect(world.networks.endpoints(world.back.id)[0]!.endpointId),
    async (world) => {
      const sandbox = world.sandbox([published]);
      expect(sandbox.endpoints.map(({ networkName }) => networkName)).toEqual(["front"]);
      await sandbox.close();
      // The port is free for another container, and the rules are as before.
      const other = world.sandbox([published], "d".repeat(64));
      await other.connect(world.back.id);
      await other.close();
      const clean = await World.open();
      expect([...world.kernel.elements].sort()).toEqual([...clean.kernel.elements].sort());
      await world.restart();
      expect(world.links.filter((link) => link.startsWith("veth"))).toEqual([]);
      expect([...world.kernel.open.values()]).not.toContain("0.0.0.0 8080/tcp");
    },
  );
});

test("a rule that could not be removed is removed at the next connection", async () => {
  const world = await World.open();
  const elements = (): string[] => [...world.kernel.elements].sort();
  const before = elements();
  const one = world.sandbox([published]);
  await one.connect(world.front.id);
  world.kernel.failRequest = 1;
  await expect(one.close()).rejects.toThrow("EIO");
  expect(elements()).not.toEqual(before);
  await world.sandbox([], "d".repeat(64)).connect(world.front.id);
  expect(elements()).toEqual(before);
});

test("the netlink exchanges of a connection: three on the host, one inside, one for the ports", async () => {
  const { networks, kernel } = await World.open();
  const id = networks.defaultNetwork()!.id;
  const calls = async (action: () => Promise<unknown>): Promise<string> => {
    kernel.calls.length = 0;
    await action();
    return kernel.calls.join(" ");
  };
  const sandbox = (prepared = networks.prepareLink("none", namespaceFd), ports: PortRequest[] = []) =>
    networks.sandbox({ containerId: "c", containerName: "web", namespaceFd, ports, prepared });
  const inside = "withNetworkNamespace open openNetlink netlinkTransact";
  const plain = sandbox();
  expect(await calls(() => plain.connect(id))).toBe(`netlinkTransact netlinkTransact netlinkTransact ${inside}`);
  expect(await calls(() => plain.close())).toBe("");
  const withPort = sandbox(undefined, [published]);
  expect(await calls(() => withPort.connect(id))).toBe(
    `netlinkTransact netlinkTransact reservePort netlinkTransact ${inside} netlinkTransact`,
  );
  expect(await calls(() => withPort.close())).toBe("netlinkTransact");
  const prepared = networks.prepareLink("bridge", namespaceFd);
  expect(prepared).toMatchObject({ networkId: id, interfaceName: "eth0" });
  const quick = sandbox(prepared);
  expect(await calls(() => quick.connect(id))).toBe(`netlinkTransact netlinkTransact ${inside}`);
  expect(quick.endpoints[0]!.hostInterface).toBe(prepared!.hostInterface);
  await quick.close();
});

test("an interface that was made in advance for another network keeps its name for that network", async () => {
  const { networks, back, front } = await World.open();
  const prepared = networks.prepareLink("front", namespaceFd);
  const sandbox = networks.sandbox({ containerId: "c", containerName: "web", namespaceFd, prepared });
  expect(await sandbox.connect(back.id)).toMatchObject({ interfaceName: "eth1" });
  expect(await sandbox.connect(front.id)).toMatchObject({
    interfaceName: "eth0",
    hostInterface: prepared!.hostInterface,
  });
  // It is used once.
  await sandbox.disconnect(networks.endpoints(front.id)[0]!.endpointId);
  const again = await sandbox.connect(front.id);
  expect(again!.interfaceName).toBe("eth0");
  expect(again!.hostInterface).not.toBe(prepared!.hostInterface);
});

test("the default route moves to the better network and back", async () => {
  const { kernel, front, back, ...world } = await World.open();
  const sandbox = world.networks.sandbox({ containerId: "c", containerName: "web", namespaceFd });
  await sandbox.connect(front.id);
  expect(kernel.defaultGateway).toBe(front.pools[0]!.gateway);
  const better = await sandbox.connect(back.id);
  expect(kernel.defaultGateway).toBe(back.pools[0]!.gateway);
  await sandbox.disconnect(better!.endpointId);
  expect(kernel.defaultGateway).toBe(front.pools[0]!.gateway);
});

test("a network to which somebody is being connected is not removed", async () => {
  const { networks, front, ...world } = await World.open();
  const connecting =
    world.kernel && networks.sandbox({ containerId: "c", containerName: "web", namespaceFd }).connect(front.id);
  await expect(networks.remove(front.id)).rejects.toMatchObject({ code: "conflict" });
  expect(await connecting).toMatchObject({ networkId: front.id });
});

test("an endpoint of both families; its interface has the requested name and kernel settings", async () => {
  const world = await World.open();
  const { kernel, networks } = world;
  const settings = { name: "six", driver: "bridge", pools: [], internal: false, options: {}, labels: {} };
  const six = await networks.create({ ...settings, families: ["ipv4", "ipv6"] });
  const [four, pool] = six.pools;
  expect(pool!.subnet).toMatch(/^fd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}::\/64$/);
  expect([...kernel.elements].filter((name) => name.startsWith("ip6 "))).toHaveLength(4);
  expect(kernel.files.get("/proc/sys/net/ipv6/conf/all/forwarding")).toBe("1");
  kernel.files.set("/proc/sys/net/ipv6/conf/lan7/disable_ipv6", "1");
  const endpoint = await world.sandbox().connect(six.id, {
    names: ["web", "www"],
    ipv6Address: `${pool!.gateway.slice(0, -1)}77`,
    interfaceName: "lan7",
    sysctls: ["net.ipv4.conf.IFNAME.log_martians=1"],
  });
  expect(endpoint).toMatchObject({
    interfaceName: "lan7",
    names: ["web", "www"],
    gateways: { ipv4: four!.gateway, ipv6: pool!.gateway },
  });
  expect(endpoint!.addresses.map(({ family, prefixLength }) => `${family} ${prefixLength}`)).toEqual([
    "ipv4 16",
    "ipv6 64",
  ]);
  expect(kernel.files.get("/proc/sys/net/ipv6/conf/lan7/disable_ipv6")).toBe("0");
  expect(kernel.files.get("/proc/sys/net/ipv4/conf/lan7/log_martians")).toBe("1");
  const other = world.sandbox([], "d".repeat(64));
  await expect(other.connect(six.id, { sysctls: ["net.ipv4.nosuch.IFNAME.x=1"] })).rejects.toThrow(
    "failed to set sysctl net.ipv4.nosuch.IFNAME.x=1 of interface eth0: the kernel does not have it",
  );
  await world.sandbox().close();
  await networks.remove(six.id);
  expect([...kernel.elements].filter((name) => name.startsWith("ip6 "))).toEqual([]);
});

test("the prefix of interface names, and an isolated network, which has no gateway and no address on the host", async () => {
  const { networks, ...world } = await World.open();
  const mode = "com.docker.network.bridge.gateway_mode_ipv4";
  const options = { [mode]: "isolated", "com.docker.network.container_iface_prefix": "lan" };
  const settings = { name: "cell", driver: "bridge", pools: [], options, labels: {} };
  await expect(networks.create({ ...settings, internal: false })).rejects.toThrow(
    "gateway mode 'isolated' can only be used for an internal network",
  );
  const cell = await networks.create({ ...settings, internal: true });
  expect(networks.prepareLink("cell", namespaceFd)).toMatchObject({ interfaceName: "lan0" });
  const sandbox = world.kernel && networks.sandbox({ containerId: "c", containerName: "web", namespaceFd });
  expect(await sandbox.connect(cell.id)).toMatchObject({ interfaceName: "lan0", gateways: {} });
});

test("ports of a routed network are open at the container; they change with the gateway", async () => {
  const world = await World.open();
  const { networks, kernel } = world;
  const mode = "com.docker.network.bridge.gateway_mode_ipv4";
  const options = { [mode]: "routed" };
  const plain = { driver: "bridge", pools: [], internal: false, labels: {} };
  const routed = await networks.create({ ...plain, name: "a-routed", options });
  const elements = (set: string): number => [...kernel.elements].filter((name) => name.startsWith(`${set} `)).length;
  const host = (): string[] => [...kernel.open.values()].filter((name) => name.includes("8080"));
  const sandbox = world.sandbox([published]);
  const endpoint = await sandbox.connect(routed.id);
  expect(endpoint!.ports).toEqual([{ protocol: "tcp", containerPort: 80, hostIp: "0.0.0.0", hostPort: 0 }]);
  expect([elements("routed"), elements("published_any"), host()]).toEqual([1, 0, []]);
  // Another network leads outside now: there a port of the host leads to the container.
  const front = await sandbox.connect(world.front.id, { gatewayPriority: 1 });
  expect(front!.ports).toMatchObject([{ hostPort: 8080 }]);
  expect([elements("routed"), elements("published_any"), host()]).toEqual([0, 1, ["0.0.0.0 8080/tcp"]]);
  await sandbox.disconnect(front!.endpointId);
  expect([elements("routed"), elements("published_any"), host()]).toEqual([1, 0, []]);
  await networks.stop(true);
  await networks.start([endpoint!]);
  expect([elements("routed"), host()]).toEqual([1, []]);
  await world.sandbox([published]).close();
  expect(elements("routed")).toBe(0);
});
