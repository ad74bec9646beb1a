/** IPv6 ports, which a process forwards: they follow their container's gateway, and when a forwarder does not start, nothing changes. */
import { expect, test } from "bun:test";
import type { NetworkInfo, NetworkManager, PortRequest, Sandbox } from "../contract.ts";
import { networkConfig } from "../default-networks.ts";
import { createNetworkManager } from "../manager.ts";
import { FakeKernel } from "../testing/fake-kernel.ts";
import type { Forwarders } from "./forwarders.ts";
import { defaultOptions, memoryState } from "../testing/settings.ts";

const published: PortRequest = {
  protocol: "tcp",
  containerPort: 80,
  hostIp: "",
  hostPortFirst: 8080,
  hostPortLast: 8080,
};

/** Forwarders by endpoint, with the target address of each. */
class FakeForwarders implements Forwarders {
  readonly running = new Map<string, string>();
  failStart = false;

  start(endpointId: string, listeners: Parameters<Forwarders["start"]>[1]): void {
    if (this.failStart) throw new Error("no process can be made");
    this.running.set(endpointId, listeners.map(({ target }) => `${target.address}:${target.port}`).join());
  }
  runs(endpointId: string): boolean {
    return this.running.has(endpointId);
  }
  ended(_endpointId: string, signal: AbortSignal): Promise<void> {
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  }
  async end(endpointId: string): Promise<void> {
    this.running.delete(endpointId);
  }
  list(): readonly string[] {
    return [...this.running.keys()];
  }
}

interface World {
  readonly kernel: FakeKernel;
  readonly forwarders: FakeForwarders;
  readonly networks: NetworkManager;
  readonly front: NetworkInfo;
  readonly back: NetworkInfo;
  readonly sandbox: Sandbox;
}

async function open(): Promise<World> {
  const kernel = new FakeKernel();
  kernel.files.set("/proc/sys/net/ipv6/bindv6only", "0\n");
  const forwarders = new FakeForwarders();
  const networks = createNetworkManager({
    sys: kernel.sys,
    forwarders,
    config: networkConfig(defaultOptions),
    state: memoryState(),
  });
  await networks.start([]);
  const create = (name: string): Promise<NetworkInfo> =>
    networks.create({ name, driver: "bridge", pools: [], internal: false, options: {}, labels: {} });
  const sandbox = networks.sandbox({ containerId: "c", containerName: "web", namespaceFd: 9, ports: [published] });
  return { kernel, forwarders, networks, front: await create("front"), back: await create("back"), sandbox };
}

const portElements = ({ kernel }: World): string[] =>
  [...kernel.elements].filter((element) => /^(published|own)_/.test(element)).sort();
const heldPorts = ({ kernel }: World): string[] => [...kernel.open.values()].filter((name) => name.includes("8080"));

test("a forwarder that does not start is an error of the connection, which leaves nothing", async () => {
  const world = await open();
  world.forwarders.failStart = true;
  await expect(world.sandbox.connect(world.front.id)).rejects.toThrow("no process can be made");
  expect([portElements(world), heldPorts(world), world.sandbox.endpoints]).toEqual([[], [], []]);
  world.forwarders.failStart = false;
  const endpoint = await world.sandbox.connect(world.front.id);
  expect([...world.forwarders.running.keys()]).toEqual([endpoint!.endpointId]);
  await world.networks.stop(true);
});

test("the forwarder moves with the ports to the next gateway, and ends with them", async () => {
  const world = await open();
  const { sandbox, forwarders } = world;
  const addressOf = (name: string): string =>
    sandbox.endpoints.find(({ networkName }) => networkName === name)!.addresses[0]!.address;
  await sandbox.connect(world.front.id);
  expect([...forwarders.running.values()]).toEqual([`${addressOf("front")}:80`]);
  const better = await sandbox.connect(world.back.id);
  expect([...forwarders.running]).toEqual([[better!.endpointId, `${addressOf("back")}:80`]]);
  await sandbox.disconnect(better!.endpointId);
  expect([...forwarders.running.values()]).toEqual([`${addressOf("front")}:80`]);
  await sandbox.close();
  expect([forwarders.list(), portElements(world), heldPorts(world)]).toEqual([[], [], []]);
  await world.networks.stop(true);
});

test("when it does not start for the next gateway, the connection fails, and the ports stay where they were", async () => {
  const world = await open();
  const { sandbox, forwarders } = world;
  await sandbox.connect(world.front.id);
  const before = [sandbox.endpoints, portElements(world), heldPorts(world)];
  forwarders.failStart = true;
  await expect(sandbox.connect(world.back.id)).rejects.toThrow("no process can be made");
  expect([sandbox.endpoints, portElements(world), heldPorts(world)]).toEqual(before);
  await world.networks.stop(true);
});
