/**
 * A driver of another kind than bridge: its answers take time, as if it were in another process. Its interface has no end on the host, and the
 * driver chooses the gateways.
 */
import { expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import type { NetworkInfo } from "../contract.ts";
import { networkConfig } from "../default-networks.ts";
import { defaultAddressPools } from "../ipam/pool.ts";
import { createNetworkManager } from "../manager.ts";
import { FakeKernel } from "../testing/fake-kernel.ts";
import type { DriverNetwork, NetworkDriver } from "./driver.ts";

const namespaceFd = 9;
const rules = {
  bridge: "wide0",
  interContainer: true,
  internal: false,
  families: { ipv4: { masquerade: true, unprotected: false } },
};

interface Failing {
  call?: string;
  /** Called just before the failure. */
  before?: () => void;
}

interface Hanging {
  call?: string;
  end?: Promise<void>;
}
const config = networkConfig({
  bridgeName: "fathom0",
  addressPools: defaultAddressPools,
  mtu: 0,
  ipForward: true,
  ipMasquerade: true,
  interContainerCommunication: true,
  defaultBindAddress: "0.0.0.0",
  userlandProxy: false,
});

/** @param calls Gets each call with the arguments that matter. */
function otherDriver(kernel: FakeKernel, calls: unknown[], failing: Failing, hanging: Hanging): NetworkDriver {
  const called = async (call: string, ...what: unknown[]): Promise<void> => {
    await Promise.resolve();
    calls.push([call, ...what]);
    if (hanging.call === call) await hanging.end;
    if (failing.call !== call) return;
    failing.before?.();
    throw new Error(`${call} fails`);
  };
  const network = (): DriverNetwork => ({
    rules,
    publishing: undefined,
    repair: () => undefined,
    createEndpoint: async (_endpoint, { macAddress }) => {
      await called("createEndpoint", macAddress?.length);
      return { macAddress: undefined };
    },
    join: async ({ interfaceName, namespaceFd: fd }) => {
      await called("join", interfaceName, fd);
      kernel.links.set(interfaceName, { index: 500, kind: "macvlan", master: 0 });
      return { index: 500, hostInterface: "", gateways: { ipv4: "10.9.0.254" } };
    },
    leave: async ({ interfaceName, hostInterface }, namespace) => {
      await called("leave", interfaceName, hostInterface, namespace);
      kernel.links.delete(interfaceName);
    },
    deleteEndpoint: () => called("deleteEndpoint"),
    clean: () => false,
    remove: () => called("remove"),
    [Symbol.dispose]: () => undefined,
  });
  return {
    name: "other",
    capabilities: { endpoints: true, ownsInterface: false },
    options: (_id, { options }) => options,
    hostInterface: () => undefined,
    rules: () => rules,
    open: async ({ name }, origin) => {
      await called("open", name, origin);
      return network();
    },
  };
}

function world(rows = new Map<string, NetworkInfo>()) {
  const kernel = new FakeKernel();
  const calls: unknown[] = [];
  const failing: Failing = {};
  const hanging: Hanging = {};
  const networks = createNetworkManager({
    sys: kernel.sys,
    config,
    clock: systemClock,
    drivers: [otherDriver(kernel, calls, failing, hanging)],
    state: {
      networks: () => [...rows.values()],
      saveNetwork: (network) => void rows.set(network.id, network),
      removeNetwork: (id) => void rows.delete(id),
    },
  });
  const sandbox = () => networks.sandbox({ containerId: "c", containerName: "web", namespaceFd });
  return { networks, kernel, calls, failing, hanging, rows, sandbox };
}
const settings = { name: "wide", driver: "other", pools: [], internal: false, options: {}, labels: {} };

test("the driver makes a network once, and uses it again at the next start", async () => {
  const { networks, calls, rows } = world();
  await networks.start([]);
  expect(networks.drivers).toContain("other");
  await networks.create(settings);
  expect(calls).toEqual([["open", "wide", "new"]]);
  await networks.stop(true);
  const next = world(rows);
  await next.networks.start([]);
  expect(next.calls).toEqual([["open", "wide", "stored"]]);
  await next.networks.remove(next.networks.find("wide")!.id);
  expect(next.calls.slice(1)).toEqual([["remove"]]);
});

test("a container is connected and disconnected: the driver gets the namespace, the interface keeps its MAC address, and the driver's gateway is used", async () => {
  const { networks, kernel, calls, sandbox } = world();
  await networks.start([]);
  const wide = await networks.create(settings);
  calls.length = 0;
  const one = sandbox();
  await one.connect(networks.defaultNetwork()!.id);
  const endpoint = await one.connect(wide.id, { gatewayPriority: 1 });
  expect(endpoint).toMatchObject({ interfaceName: "eth1", hostInterface: "", macAddress: "", gatewayPriority: 1 });
  expect(one.gateway("ipv4")?.gateways.ipv4).toBe("10.9.0.254");
  await one.disconnect(endpoint!.endpointId);
  expect(calls).toEqual([
    ["createEndpoint", undefined],
    ["join", "eth1", namespaceFd],
    ["leave", "eth1", "", { kind: "stays", fd: namespaceFd }],
    ["deleteEndpoint"],
  ]);
  const macAddress = "02:00:00:00:00:07";
  expect(await one.connect(wide.id, { macAddress })).toMatchObject({ macAddress });
  await one.close();
  expect(calls.slice(4)).toEqual([
    ["createEndpoint", 6],
    ["join", "eth1", namespaceFd],
    ["leave", "eth1", "", { kind: "ends" }],
    ["deleteEndpoint"],
  ]);
  expect(kernel.links.has("eth1")).toBe(false);
});

test.each(["createEndpoint", "join"])("a %s that fails leaves no endpoint", async (call) => {
  const { networks, failing, sandbox, calls } = world();
  await networks.start([]);
  const wide = await networks.create(settings);
  failing.call = call;
  await expect(sandbox().connect(wide.id)).rejects.toThrow(`${call} fails`);
  expect(networks.endpoints(wide.id)).toEqual([]);
  expect(calls.at(-1)).toEqual(call === "join" ? ["deleteEndpoint"] : ["createEndpoint", undefined]);
  failing.call = "open";
  await expect(networks.create({ ...settings, name: "next" })).rejects.toThrow("open fails");
  expect(networks.find("next")).toBeUndefined();
});

test.each(["close", "disconnect"] as const)("while a %s waits, the network is not removed", async (verb) => {
  const { networks, hanging, sandbox } = world();
  await networks.start([]);
  const wide = await networks.create(settings);
  const one = sandbox();
  const endpoint = (await one.connect(wide.id))!;
  const { promise, resolve } = Promise.withResolvers<void>();
  Object.assign(hanging, { call: "leave", end: promise });
  const leaving = verb === "close" ? one.close() : one.disconnect(endpoint.endpointId);
  await expect(networks.remove(wide.id)).rejects.toMatchObject({ code: "conflict" });
  resolve();
  await leaving;
  await networks.remove(wide.id);
});

test("a removal that fails, and whose undoing fails too, has the error of the removal", async () => {
  const { networks, failing, kernel } = world();
  await networks.start([]);
  const wide = await networks.create(settings);
  Object.assign(failing, { call: "remove", before: () => (kernel.failCall = 1) });
  await expect(networks.remove(wide.id)).rejects.toThrow(/^remove fails$/);
  expect(kernel.failCall).toBe(0);
});
