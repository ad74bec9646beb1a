/** Containers are connected to networks and disconnected, while they run and before. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EndpointSettings } from "@fathom/spec";
import { emptyEndpointSettings } from "@fathom/spec";
import { request, useEngine } from "../testing/engine-world.ts";
import { startDaemon } from "../testing/fakes.ts";
import { networkRequest } from "../testing/suites/network-suite.ts";

const world = useEngine();

const connect = (container: string, config: Partial<EndpointSettings> = {}, network = "front"): Promise<void> =>
  world.engine.networks.connect(network, {
    Container: container,
    EndpointConfig: { ...emptyEndpointSettings, ...config },
  });
const disconnect = (container: string, network = "front", force = false): Promise<void> =>
  world.engine.networks.disconnect(network, { Container: container, Force: force });
const create = (name = "front"): Promise<unknown> => world.engine.networks.create({ ...networkRequest, Name: name });
const networksOf = async (container: string): Promise<Readonly<Record<string, EndpointSettings>>> =>
  (await world.engine.containers.inspect(container, false)).NetworkSettings.Networks;
const hostsOf = (id: string): string => join(world.root, "containers", id, "hosts");

test("a running container has the endpoint, its names, a line in its hosts file, and an event; disconnected it is as before", async () => {
  await create();
  const id = await world.run("web");
  const file = hostsOf(id);
  writeFileSync(file, `${readFileSync(file, "utf8")}10.9.9.9\tmine\n`);
  const before = readFileSync(file, "utf8");
  await connect("web", { Aliases: ["www"], GwPriority: 3 });
  const { bridge, front } = await networksOf("web");
  expect(bridge!.DNSNames).toBeNull();
  expect(front).toMatchObject({
    Aliases: ["www"],
    GwPriority: 3,
    DNSNames: ["web", "www", id.slice(0, 12)],
  });
  expect(front!.IPAddress).toStartWith("172.18.");
  expect(readFileSync(file, "utf8")).toBe(`${before}${front!.IPAddress}\t${id.slice(0, 12)}\n`);
  const { Containers } = await world.engine.networks.inspect("front", { scope: undefined });
  expect(Containers[id]).toMatchObject({ Name: "web", EndpointID: front!.EndpointID });
  await expect(connect("web")).rejects.toThrow("endpoint with name web already exists in network front");
  await expect(world.engine.networks.remove("front")).rejects.toThrow(
    `error while removing network: network front has active endpoints (name:"web" id:"${front!.EndpointID.slice(0, 12)}")`,
  );
  await disconnect("web");
  expect(Object.keys(await networksOf("web"))).toEqual(["bridge"]);
  expect(readFileSync(file, "utf8")).toBe(before);
  await expect(disconnect("web")).rejects.toThrow(`container ${id} is not connected to network front`);
  await world.engine.networks.remove("front");
  expect(await world.actions(0n, "network")).toEqual(["create", "connect", "connect", "disconnect", "destroy"]);
});

test.each(["sandbox.connect", "database.run", "database.relaxed"])(
  "a connection whose %s fails leaves nothing",
  async (call) => {
    await create();
    const id = await world.run("web");
    const before = [await networksOf("web"), readFileSync(hostsOf(id), "utf8"), [...world.machine.endpoints.keys()]];
    world.machine.faults.failNext(call);
    const failed = await connect("web").then(
      () => false,
      () => true,
    );
    // A row is written with one of the two calls; the other one is not made.
    if (!failed) return expect(call).toStartWith("database.");
    expect([await networksOf("web"), readFileSync(hostsOf(id), "utf8"), [...world.machine.endpoints.keys()]]).toEqual(
      before,
    );
    await connect("web");
  },
);

test("a disconnection that fails in the kernel is an error, and the row does not have the endpoint any more", async () => {
  await create();
  await world.run("web");
  await connect("web");
  world.machine.faults.failNext("sandbox.disconnect");
  await expect(disconnect("web")).rejects.toThrow("as the test planned");
  expect(Object.keys(await networksOf("web"))).toEqual(["bridge"]);
});

test("a container that does not run is connected at its start; the same network after it was made again is another one", async () => {
  await create();
  await world.engine.containers.create("web", undefined, {
    ...request(),
  });
  await connect("web", { Aliases: ["www"] });
  await connect("web");
  expect((await networksOf("web"))["front"]).toMatchObject({ IPAddress: "", Aliases: ["www"] });
  await world.engine.networks.remove("front");
  await create();
  await expect(world.engine.containers.start("web", undefined)).rejects.toThrow(/network [0-9a-f]{64} not found/);
  await disconnect("web", "front", true);
  await connect("web");
  await world.engine.containers.start("web", undefined);
  expect((await networksOf("web"))["front"]!.IPAddress).toMatch(/^172\.18\./);
});

test("the settings of an endpoint are checked in Docker's words", async () => {
  await create();
  await world.run("web");
  const config = { IPAMConfig: { IPv4Address: "10.77.0.1", LinkLocalIPs: ["0.0.0.0"] } };
  await expect(connect("web", config)).rejects.toThrow(
    "invalid endpoint settings:\n* invalid link-local IP address: 0.0.0.0\n* no configured subnet contains IP address 10.77.0.1",
  );
  const sysctls = "com.docker.network.endpoint.sysctls";
  await expect(connect("web", { DriverOpts: { [sysctls]: "kernel.shmmax=1" } })).rejects.toThrow(
    "unrecognised network interface sysctl 'kernel.shmmax=1'",
  );
  expect(Object.keys(await networksOf("web"))).toEqual(["bridge"]);
});

test("host, none and shared namespaces stand alone", async () => {
  await create();
  await world.run("web");
  await world.run("lone", { NetworkMode: "none" });
  await world.run("flat", { NetworkMode: "host" });
  await world.run("side", { NetworkMode: "container:web" });
  for (const [container, network, words] of [
    ["web", "none", "one of the networks in private (none) mode"],
    ["lone", "front", "one of the networks in private (none) mode"],
    ["web", "host", "container must be created in host network mode"],
    ["flat", "front", "container sharing network namespace with another container or host"],
    ["side", "front", "container sharing network namespace with another container or host"],
  ] as const)
    await expect(connect(container, {}, network)).rejects.toThrow(words);
  await expect(disconnect("flat", "host")).rejects.toThrow("cannot disconnect container from host network");
  await disconnect("lone", "none");
  await connect("lone");
  expect(Object.keys(await networksOf("lone"))).toEqual(["front"]);
});

test("connections made while a container runs are there after the daemon was killed", async () => {
  await create();
  const id = await world.run("web");
  await connect("web");
  const before = await networksOf("web");
  world.engine = await startDaemon(world.machine, world.root, {}, world.volumeQuestions);
  expect(await networksOf("web")).toEqual(before);
  await disconnect(id.slice(0, 12));
  expect(Object.keys(await networksOf("web"))).toEqual(["bridge"]);
});

test("a daemon that was killed between the row and the kernel: the container has its port again, and the row says so", async () => {
  await create();
  await world.run("web", { PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "8080" }] } });
  await connect("web", { GwPriority: 1 });
  const ports = async (): Promise<unknown> =>
    (await world.engine.containers.inspect("web", false)).NetworkSettings.Ports?.["80/tcp"];
  const before = await ports();
  // The row is written first; then the daemon dies.
  const hang = world.machine.faults.hangNext("sandbox.disconnect");
  void disconnect("web").catch(() => undefined);
  await hang.reached;
  world.engine = await startDaemon(world.machine, world.root, {}, world.volumeQuestions);
  expect(Object.keys(await networksOf("web"))).toEqual(["bridge"]);
  expect(await ports()).toEqual(before);
});
