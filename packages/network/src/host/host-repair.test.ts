import { expect, test } from "bun:test";
import { silentLogger } from "@fathom/base";
import { until } from "@fathom/base/testing";
import { NETLINK_ROUTE } from "@fathom/sys";
import { createBridgeDriver } from "../driver/bridge.ts";
import type { DriverNetwork } from "../driver/driver.ts";
import { NetlinkConnection } from "../netlink/connection.ts";
import { encodeMessages, PayloadWriter } from "../netlink/message.ts";
import { RTM_DELADDR, RTM_DELLINK } from "../netlink/route-numbers.ts";
import { FakeKernel } from "../testing/fake-kernel.ts";
import { decodeRemovals, type HostChange } from "./host-monitor.ts";
import { HostRepair } from "./host-repair.ts";

class World implements AsyncDisposable {
  readonly kernel = new FakeKernel();
  readonly warnings: string[] = [];
  readonly logger = { ...silentLogger, warn: (message: string) => void this.warnings.push(message) };
  readonly containers = new Map<string, string>();
  tell: (change: HostChange) => void = () => undefined;
  watched = 0;
  rulesRepaired = 0;
  failRules = 0;
  network!: DriverNetwork;
  repair!: HostRepair;

  static async open(): Promise<World> {
    const world = new World();
    const { sys } = world.kernel;
    const driver = createBridgeDriver({ sys, route: new NetlinkConnection(sys, NETLINK_ROUTE), logger: world.logger });
    const options = { "com.docker.network.bridge.name": "br0", "com.docker.network.driver.mtu": "1500" };
    const row = { id: "1".repeat(64), name: "n", driver: "bridge", createdAt: "", builtin: false, internal: false };
    const pools = [{ family: "ipv4", subnet: "10.1.0.0/24", gateway: "10.1.0.1" }] as const;
    world.network = await driver.open({ ...row, families: ["ipv4"], pools, options, labels: {}, extension: {} }, "new");
    world.repair = new HostRepair({
      monitor: {
        watch: (seen) => {
          world.tell = seen;
          world.watched++;
          return { [Symbol.dispose]: () => void world.watched-- };
        },
      },
      networks: () => [
        {
          hostLink: world.network.hostLink,
          restore: () => world.network.restore?.(() => [...world.containers.keys()]),
        },
      ],
      repairRules: () => {
        if (world.failRules-- > 0) throw new Error("busy");
        world.rulesRepaired++;
      },
      containerOf: (name) => world.containers.get(name),
      logger: world.logger,
      pauseMs: 1,
      retryMs: 1,
    });
    return world;
  }

  removeBridge(): void {
    const index = this.network.hostLink ?? 0;
    this.kernel.links.delete("br0");
    this.tell({ kind: "link-removed", index, name: "br0" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.repair[Symbol.dispose]();
    expect(this.watched).toBe(0);
  }
}

test("a bridge that was removed is made again; other links do not matter", async () => {
  await using world = await World.open();
  const calls = world.kernel.calls.length;
  world.tell({ kind: "link-removed", index: 999, name: "other" });
  world.tell({ kind: "address-removed", linkIndex: 999 });
  world.removeBridge();
  await until("the bridge is there", () => world.kernel.links.has("br0"));
  expect(world.kernel.links.get("br0")?.index).toBe(world.network.hostLink ?? 0);
  expect(world.kernel.calls.length).toBeGreaterThan(calls);
  expect(world.warnings[0]).toContain("was removed by someone else");
});

test("whichever call of a repair fails, it is tried again", async () => {
  await using world = await World.open();
  for (let call = 1; call < 50; call++) {
    world.warnings.length = 0;
    world.kernel.failCall = call;
    world.removeBridge();
    await until(
      "the bridge is there and nothing is left to do",
      () => world.kernel.links.has("br0") && !world.repair.pending,
    );
    const failed = world.kernel.failCall === 0;
    world.kernel.failCall = 0;
    if (!failed) return expect(call).toBeGreaterThan(5);
    expect([call, world.warnings.join()]).toEqual([call, expect.stringContaining("could not be put back")]);
  }
  throw new Error("a repair has more calls than expected");
});

test("rules are looked at once for many changes, and again after a failure", async () => {
  await using world = await World.open();
  world.failRules = 2;
  for (let each = 0; each < 20; each++) world.tell({ kind: "rules" });
  await until("the rules are repaired", () => world.rulesRepaired > 0);
  expect([world.rulesRepaired, world.repair.pending]).toEqual([1, false]);
});

test("an interface of a container is reported while the container has it", async () => {
  await using world = await World.open();
  world.containers.set("veth1", "c1").set("veth2", "c2");
  for (const name of ["veth1", "veth2"]) world.tell({ kind: "link-removed", index: 7, name });
  // This container ends: its interface goes with it.
  world.containers.delete("veth2");
  await until("it was looked at", () => !world.repair.pending);
  expect(world.warnings).toEqual([expect.stringContaining("the interface of a container is gone")]);
});

test("messages of the kernel", () => {
  const link = (family: number): Uint8Array =>
    new PayloadWriter().u8(family).u8(0).u16(0).u32(7).u32(0).u32(0).attributeText(3, "br0").finish();
  const address = new PayloadWriter().u8(2).u8(24).u8(0).u8(0).u32(9).finish();
  const message = (type: number, payload: Uint8Array) => ({ type, flags: 0, payload });
  // The second one left a bridge.
  const messages = [message(RTM_DELLINK, link(0)), message(RTM_DELLINK, link(7)), message(RTM_DELADDR, address)];
  expect(decodeRemovals(encodeMessages(messages, 0))).toEqual([
    { kind: "link-removed", index: 7, name: "br0" },
    { kind: "address-removed", linkIndex: 9 },
  ]);
});
