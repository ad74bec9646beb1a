import { expect, test } from "bun:test";
import type { NetworkInfo, NetworkSettings } from "../contract.ts";
import { networkConfig } from "../default-networks.ts";
import { createNetworkManager } from "../manager.ts";
import { FakeKernel } from "../testing/fake-kernel.ts";
import { memoryState, optionsInMemory } from "../testing/settings.ts";

const namespaceFd = 9;

async function world(rows = new Map<string, NetworkInfo>(), kernel = new FakeKernel()) {
  kernel.links.set("out0", { index: 77, kind: "", master: 0 });
  const config = networkConfig(optionsInMemory);
  const networks = createNetworkManager({ sys: kernel.sys, config, state: memoryState(rows) });
  const { warnings } = await networks.start([]);
  const make = (options: Record<string, string>, change: Partial<NetworkSettings> = {}): Promise<NetworkInfo> =>
    networks.create({ name: "lan", driver: "macvlan", pools: [], internal: false, options, labels: {}, ...change });
  const sandbox = () => networks.sandbox({ containerId: "c", containerName: "web", namespaceFd });
  const state = (): unknown => ({
    links: [...kernel.links.keys()].sort(),
    descriptors: [...kernel.open.values()].sort(),
    elements: [...kernel.elements].sort(),
    rows: [...rows.values()],
  });
  return { networks, kernel, rows, warnings, make, sandbox, state };
}

test("a container is at the parent with its own MAC address; the parent stays", async () => {
  const { networks, kernel, make, sandbox } = await world();
  const lan = await make({ parent: "out0" }, { pools: [{ family: "ipv4", subnet: "198.51.100.0/24" }] });
  const endpoint = await sandbox().connect(lan.id);
  expect(endpoint).toMatchObject({
    interfaceName: "eth0",
    hostInterface: "",
    macAddress: "02:42:c6:33:64:02",
    gateways: { ipv4: "198.51.100.1" },
  });
  expect(kernel.links.get("eth0")?.kind).toBe("macvlan");
  // A second network at the same parent.
  const more = await make({ parent: "out0", macvlan_mode: "passthru" }, { name: "more" });
  expect((await sandbox().connect(more.id))!.macAddress).toBe("");
  await sandbox().disconnect(endpoint!.endpointId);
  expect([...kernel.links.keys()]).not.toContain("eth0");
  await sandbox().close();
  for (const { id } of [lan, more]) await networks.remove(id);
  expect(kernel.links.has("out0")).toBe(true);
});

test("without a parent a network has one of its own, which leads nowhere and ends with it", async () => {
  const { networks, kernel, make, sandbox, rows } = await world();
  const lan = await make({});
  const parent = `dm-${lan.id.slice(0, 12)}`;
  expect(kernel.links.get(parent)?.kind).toBe("veth");
  expect((await sandbox().connect(lan.id))!.gateways).toEqual({});
  await sandbox().close();
  await networks.stop(true);
  kernel.links.delete(parent);
  const next = await world(rows, kernel);
  expect([next.warnings, kernel.links.has(parent)]).toEqual([[], true]);
  await next.networks.remove(lan.id);
  expect(kernel.links.has(parent)).toBe(false);
});

test.each([
  [{ parent: "lo" }, "loopback interface is not a valid macvlan parent link"],
  [{ parent: "out9" }, "the parent interface out9 does not exist"],
  [{ macvlan_mode: "bent" }, "requested macvlan mode 'bent' is not valid, 'bridge' mode is the macvlan driver default"],
] as const)("options %p are rejected", async (options, words) => {
  const { make, state } = await world();
  const before = state();
  await expect(make(options)).rejects.toThrow(words);
  expect(state()).toEqual(before);
});

for (const kind of ["failCall", "failRequest"] as const)
  test.each(["create", "connect"])(`a %s in which the kernel fails leaves nothing (${kind})`, async (verb) => {
    for (let at = 1; ; at++) {
      const { kernel, make, sandbox, state } = await world();
      const lan = verb === "connect" ? await make({}) : undefined;
      const before = structuredClone(state());
      kernel[kind] = at;
      const done = await (lan === undefined ? make({}) : sandbox().connect(lan.id)).then(
        () => true,
        () => false,
      );
      const struck = kernel[kind] === 0;
      kernel[kind] = 0;
      if (!struck) {
        expect(at).toBeGreaterThan(2);
        return;
      }
      if (!done) expect(state()).toEqual(before);
    }
  });
