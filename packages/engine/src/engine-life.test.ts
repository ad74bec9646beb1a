/** Containers from create to removal, their names and lists, with the machine in memory. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "@fathom/base";
import { emptyEndpointSettings, type EndpointSettings, type HostConfig, type Platform } from "@fathom/spec";
import { never, request, until, useEngine } from "./testing/engine-world.ts";
import { startDaemon } from "./testing/fakes.ts";

const world = useEngine();

describe("life", () => {
  test("create, start, exit, remove", async () => {
    const id = await world.run("one");
    expect(await world.status("one")).toBe("running");
    const { result } = await world.engine.containers.wait("one", "not-running", never);
    const removed = await world.engine.containers.wait("one", "removed", never);
    world.machine.latest().end(3);
    expect(await result).toEqual({ StatusCode: 3 });
    const shown = await world.engine.containers.inspect(id.slice(0, 6), false);
    expect([shown.State.Status, shown.State.ExitCode, shown.State.Pid]).toEqual(["exited", 3, 0]);
    expect(world.machine.endpoints.size).toBe(0);
    expect(world.machine.cgroups.size).toBe(0);
    await world.engine.containers.remove("one", { volumes: false, force: false, link: false });
    expect(await removed.result).toEqual({ StatusCode: 3 });
    world.expectClean();
    expect(await world.actions()).toEqual(["create", "start", "die", "destroy"]);
  });

  test("--rm: 'removed' answers after the removal", async () => {
    await world.engine.containers.create("gone", undefined, request({ AutoRemove: true }));
    const { result } = await world.engine.containers.wait("gone", "removed", never);
    await world.engine.containers.start("gone", undefined);
    world.machine.latest().end(0);
    expect(await result).toEqual({ StatusCode: 0 });
    await expect(world.engine.containers.inspect("gone", false)).rejects.toThrow("No such container: gone");
    world.expectClean();
  });

  test("patterns of log options are checked at create, and a pattern in an older row leaks no descriptor", async () => {
    const logging = (pattern: string) => ({ LogConfig: { Type: "json-file", Config: { "env-regex": pattern } } });
    await expect(world.engine.containers.create("bad", undefined, request(logging("(")))).rejects.toThrow(
      "error parsing regexp: missing closing ): `(`",
    );
    await world.engine.containers.create("old", undefined, request(logging("^X")));
    world.machine.database.run(`UPDATE containers SET fixed = replace(fixed, '"^X"', '"("')`);
    const next = await startDaemon(world.machine, world.root);
    await expect(next.containers.start("old", undefined)).rejects.toThrow("error parsing regexp");
    expect(world.machine.openFds).toBe(0);
    await next.shutdown();
  });

  test("attachments made before the start see the first byte", async () => {
    await world.engine.containers.create("at", undefined, request({}, { OpenStdin: true, StdinOnce: true }));
    const attach = { stdin: true, stdout: true, stderr: false, logs: false, stream: true, detachKeys: undefined };
    const first = await world.engine.containers.attach("at", attach, never);
    const gone = new AbortController();
    const second = await world.engine.containers.attach("at", attach, gone.signal);
    gone.abort();
    expect(await second.stream).toBeUndefined();
    await world.engine.containers.start("at", undefined);
    expect((await first.stream)?.fd).toBe(500);
    expect(world.machine.latest().request.io.attach).toEqual([
      { stdin: true, stdout: true, stderr: false, closeStdin: true },
    ]);
  });

  test("a limited number of clients can wait for a start", async () => {
    await world.engine.containers.create("at", undefined, request());
    const attach = { stdin: false, stdout: true, stderr: false, logs: false, stream: true, detachKeys: undefined };
    const waiting = [];
    for (let index = 0; index < 200; index++) waiting.push(await world.engine.containers.attach("at", attach, never));
    await expect(world.engine.containers.attach("at", attach, never)).rejects.toThrow(
      "200 clients wait for the start of container",
    );
    await world.engine.containers.remove("at", { force: false, volumes: false, link: false });
    for (const { stream } of waiting) expect(await stream).toBeUndefined();
  });

  test("a removal ends a pending attach", async () => {
    await world.engine.containers.create("at", undefined, request());
    const { stream } = await world.engine.containers.attach(
      "at",
      { stdin: false, stdout: true, stderr: true, logs: false, stream: true, detachKeys: undefined },
      never,
    );
    await world.engine.containers.remove("at", { volumes: false, force: false, link: false });
    expect(await stream).toBeUndefined();
  });
});

describe("a start that fails", () => {
  test.each([
    [new EngineError("executable-not-found", 'exec: "x": executable file not found in $PATH'), 127],
    [new EngineError("not-executable", 'exec: "/etc": is a directory: permission denied'), 126],
    [new EngineError("internal", "something else"), 128],
  ])("%p", async (error, code) => {
    world.machine.failLaunch = error;
    await world.engine.containers.create("bad", undefined, request());
    await expect(world.engine.containers.start("bad", undefined)).rejects.toThrow(error.message);
    await until(async () => (await world.engine.containers.inspect("bad", false)).State.ExitCode === code);
    expect(await world.status("bad")).toBe("created");
    expect(world.machine.endpoints.size).toBe(0);
    expect(world.machine.cgroups.size).toBe(0);
    expect(
      existsSync(join(world.root, "containers", (await world.engine.containers.inspect("bad", false)).Id, "run")),
    ).toBe(false);
    world.machine.failLaunch = undefined;
    await world.engine.containers.start("bad", undefined);
    expect(await world.status("bad")).toBe("running");
  });

  test("on the network, with --rm", async () => {
    const taken = new EngineError("conflict", "Bind for 0.0.0.0:80 failed: port is already allocated");
    world.machine.faults.failNext("sandbox.connect", taken);
    await world.engine.containers.create("web", undefined, request({ AutoRemove: true }));
    await expect(world.engine.containers.start("web", undefined)).rejects.toThrow(
      "failed to set up container networking: Bind for 0.0.0.0:80 failed: port is already allocated",
    );
    await until(() => world.machine.snapshots.keys.size === 0);
    world.expectClean();
    expect(world.machine.openFds).toBe(0);
  });
});

test("explain plans a container and makes nothing for it", async () => {
  await world.engine.containers.create("donor", undefined, request());
  world.machine.faults.forget();

  const published: string[] = [];
  const stop = new AbortController();
  const events = world.engine.system.events({ since: undefined, until: undefined, filters: {} }, stop.signal);
  const { Text } = await world.engine.containers.explain(
    "planned",
    undefined,
    request({ Binds: ["fresh:/data"], PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "8080" }] } }),
  );
  expect(Text).toContain("port 80/tcp published at port 8080 of the host");
  const explain = (name: string | undefined, platform: Platform | undefined, host: Partial<HostConfig>) =>
    world.engine.containers.explain(name, platform, request(host));
  const ports = await explain(undefined, undefined, {
    PortBindings: {
      "81/udp": [{ HostIp: "127.0.0.1", HostPort: "8000-8010" }],
      "82/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }],
      "83/tcp": [],
    },
  });
  expect(ports.Text).toContain("port 81/udp published at 127.0.0.1:8000-8010 of the host");
  expect(ports.Text).toContain("port 82/tcp published at a free port of 127.0.0.1");
  expect(ports.Text).toContain("port 83/tcp published at a free port of the host");
  await expect(explain("donor", undefined, {})).rejects.toThrow('The container name "/donor" is already in use');
  await expect(explain("bad name", undefined, {})).rejects.toThrow("Invalid container name (bad name)");
  await expect(explain(undefined, { os: "plan9", architecture: "mips" }, {})).rejects.toThrow("plan9/mips");
  const reading = new Set([
    "images.lookup",
    "images.byId",
    "volumes.get",
    "volumes.placeOf",
    "snapshots.preview",
    "snapshots.openChain",
    "cgroups.open",
    "sys.close",
    "oci.validate",
    "oci.containerSpec",
    "networks.find",
  ]);
  expect(world.machine.faults.calls.map(({ name }) => name).filter((name) => !reading.has(name))).toEqual([]);
  expect([
    world.machine.snapshots.keys.size,
    world.machine.volumes.size,
    world.machine.cgroups.size,
    world.machine.processes.size,
  ]).toEqual([1, 0, 0, 0]);
  expect(world.machine.openFds).toBe(0);
  stop.abort();
  for await (const { Action } of events) published.push(Action);
  expect(published).toEqual([]);
});

describe("names and ids", () => {
  test("conflict, prefix, rename", async () => {
    const first = await world.engine.containers.create("one", undefined, request());
    await expect(world.engine.containers.create("one", undefined, request())).rejects.toThrow(
      `Conflict. The container name "/one" is already in use by container "${first.Id}".`,
    );
    await world.engine.containers.rename("one", "two");
    expect((await world.engine.containers.inspect("/two", false)).Name).toBe("/two");
    await world.engine.containers.create("one", undefined, request());
    await expect(world.engine.containers.rename("one", "two")).rejects.toThrow(
      "Error when allocating new name: Conflict.",
    );
    await expect(world.engine.containers.rename("one", "bad name")).rejects.toThrow(
      "Error when allocating new name: Invalid container name (/bad name)",
    );
    await expect(world.engine.containers.inspect("", false)).rejects.toThrow("No such container: ");
  });

  test("endpoint settings that no network accepts are rejected", async () => {
    const create = (network: string, settings: Partial<EndpointSettings>) => {
      const EndpointsConfig = { [network]: { ...emptyEndpointSettings, ...settings } };
      return world.engine.containers.create("one", undefined, {
        ...request({ NetworkMode: network }),
        NetworkingConfig: { EndpointsConfig },
      });
    };
    const own = { IPAMConfig: { IPv6Address: "fd00::7" } };
    await expect(create("default", own)).rejects.toThrow(
      "invalid config for network bridge: invalid endpoint settings:\n* user-specified IP address is supported on user-defined networks only\n* no configured subnet contains IP address fd00::7",
    );
    await expect(create("bridge", { Aliases: ["x"] })).rejects.toThrow(
      "invalid endpoint settings:\nnetwork-scoped aliases are only supported for user-defined networks",
    );
    await expect(create("bridge", { ...own, Aliases: ["x"] })).rejects.toThrow(
      "invalid endpoint settings:\n* user-specified IP address is supported on user-defined networks only\n* network-scoped",
    );
    await expect(create("lan", { IPAMConfig: { LinkLocalIPs: ["::"] } })).rejects.toThrow(
      "invalid config for network lan: invalid endpoint settings:\ninvalid link-local IP address: ::",
    );
    await create("lan", { Aliases: ["x"], IPAMConfig: { IPv4Address: "10.1.2.3" } });
  });

  test("a failed create releases the name and leaves nothing", async () => {
    await expect(
      world.engine.containers.create("one", undefined, request({}, { StopSignal: "NOSUCH" })),
    ).rejects.toThrow("invalid signal: NOSUCH");
    await expect(world.engine.containers.create("one", undefined, request({}, { Image: "nosuch" }))).rejects.toThrow(
      "No such image: nosuch",
    );
    await expect(world.engine.containers.create("one", undefined, request({ Binds: ["v:relative"] }))).rejects.toThrow(
      "mount path must be absolute",
    );
    await world.engine.containers.create("one", undefined, request());
  });
});

describe("lists", () => {
  test("a volume that is being filled for a new container is in use", async () => {
    const hang = world.machine.faults.hangNext("files.kindOf");
    const created = world.engine.containers.create("new", undefined, request({ Binds: ["data:/data"] }));
    await hang.reached;
    expect(world.volumeQuestions.uses?.ofVolume("data")).toHaveLength(1);
    expect([...(world.volumeQuestions.uses?.volumesInUse() ?? [])]).toEqual([["data", 1]]);
    hang.goOn();
    const { Id } = await created;
    expect(world.volumeQuestions.uses?.ofVolume("data")).toEqual([Id]);
    await world.engine.containers.remove("new", { volumes: false, force: false, link: false });
    expect(world.volumeQuestions.uses?.ofVolume("data")).toEqual([]);
  });

  test("uses of volumes are counted in one pass over the containers, for any number of volumes", async () => {
    for (const name of ["c1", "c2"])
      await world.engine.containers.create(name, undefined, request({ Binds: ["v0:/x", "v0:/y"] }));
    await world.engine.containers.create("c3", undefined, request({ Binds: ["v1:/x"] }));
    for (const Name of ["v0", "v1", "v2"])
      await world.engine.volumes.create({ Name, Driver: "", DriverOpts: null, Labels: null });
    const { VolumeUsage } = await world.engine.system.diskUsage(["volume"]);
    expect(VolumeUsage?.Items.map(({ UsageData }) => UsageData?.RefCount)).toEqual([2, 1, 0]);
  });

  test("filters and order", async () => {
    await world.run("web1", {}, { Labels: { tier: "front" }, ExposedPorts: { "80/tcp": {} } });
    await world.engine.containers.create(
      "job1",
      undefined,
      request({ NetworkMode: "none" }, { Labels: { tier: "back" } }),
    );
    const names = async (filters: Record<string, string[]>, all = true): Promise<string> =>
      (await world.engine.containers.list({ all, limit: undefined, size: false, filters }))
        .map((one) => one.Names[0])
        .join(" ");
    expect(await names({})).toBe("/job1 /web1");
    expect(await names({}, false)).toBe("/web1");
    expect(await names({ status: ["created"] }, false)).toBe("/job1");
    expect(await names({ label: ["tier=front"] })).toBe("/web1");
    expect(await names({ name: ["^/?job1$"] })).toBe("/job1");
    expect(await names({ network: ["none"] })).toBe("/job1");
    expect(await names({ expose: ["80/tcp"] })).toBe("/web1");
    expect(await names({ before: ["job1"] })).toBe("/web1");
    await expect(names({ nosuch: ["1"] })).rejects.toThrow("invalid filter 'nosuch'");
    await expect(names({ status: ["x"] })).rejects.toThrow(
      "invalid value for state (x): must be one of created, running",
    );
  });
});
