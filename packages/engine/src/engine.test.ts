import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deferred, EngineError, systemClock } from "@fathom/base";
import type { ContainerCreateRequest, ExecCreateRequest, EventMessage, HostConfig } from "@fathom/spec";
import {
  FakeMachine,
  type FakeProcess,
  removeTree,
  startDaemon,
  type TestEngine,
  type VolumeQuestions,
} from "./testing/fakes.ts";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";

let root: string;
let machine: FakeMachine;
let volumeQuestions: VolumeQuestions;
let engine: TestEngine;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "fathom-engine-"));
  machine = new FakeMachine();
  volumeQuestions = {};
  engine = await startDaemon(machine, root, {}, volumeQuestions);
});
afterEach(async () => {
  await engine.shutdown();
  removeTree(root);
});

const never = new AbortController().signal;

const execRequest: ExecCreateRequest = {
  User: "",
  Privileged: false,
  Tty: false,
  AttachStdin: false,
  AttachStdout: true,
  AttachStderr: true,
  DetachKeys: "",
  Env: null,
  WorkingDir: "",
  Cmd: ["true"],
};

function request(host: Partial<HostConfig> = {}, more: Partial<ContainerCreateRequest> = {}): ContainerCreateRequest {
  return {
    ...emptyContainerConfig,
    Image: "busybox",
    ...more,
    HostConfig: { ...emptyHostConfig, ...host },
    NetworkingConfig: { EndpointsConfig: {} },
  };
}

async function run(
  name: string,
  host: Partial<HostConfig> = {},
  more: Partial<ContainerCreateRequest> = {},
): Promise<string> {
  const { Id } = await engine.containers.create(name, undefined, request(host, more));
  await engine.containers.start(name, undefined);
  return Id;
}

async function status(name: string): Promise<string> {
  return (await engine.containers.inspect(name, false)).State.Status;
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await condition()) return;
    await Bun.sleep(5);
  }
  throw new Error("the condition did not come true in two seconds");
}

async function actions(since = 0n): Promise<string[]> {
  const seen: EventMessage[] = [];
  for await (const event of engine.system.events(
    { since, until: BigInt(Date.now()) * 1_000_000n + 10_000_000n, filters: { type: ["container"] } },
    never,
  ))
    seen.push(event);
  return seen.map((event) => event.Action);
}

/** Nothing but the given containers is left on the machine. */
function expectClean(): void {
  expect([...machine.cgroups]).toEqual([]);
  expect([...machine.endpoints.keys()]).toEqual([]);
  expect([...machine.snapshots.keys]).toEqual([]);
  expect(readdirSync(join(root, "containers"))).toEqual([]);
}

describe("a database that knows no containers", () => {
  /** Without what an inspection counts anew. */
  const shown = async (name: string) => {
    const { State, RestartCount, HostConfig, Config, NetworkSettings } = await engine.containers.inspect(name, false);
    return { State, RestartCount, HostConfig, Config, NetworkSettings };
  };
  const again = async (end: () => Promise<unknown>): Promise<void> => {
    await end();
    machine.database.run("DELETE FROM containers");
    engine = await startDaemon(machine, root);
  };

  test("they are what they were: what ended keeps code and times, what a user stopped or paused stays so", async () => {
    const policy = { RestartPolicy: { Name: "unless-stopped", MaximumRetryCount: 0 } } as const;
    await engine.containers.create("made", undefined, request());
    await run("ended");
    machine.latest().end(3);
    await until(async () => (await status("ended")) === "exited");
    await run("stopped", policy);
    await engine.containers.stop("stopped", { signal: "KILL", timeoutSeconds: 0 });
    await run("lives", { ...policy, Memory: 64 << 20 });
    await run("paused");
    await engine.containers.pause("paused");
    const names = ["made", "ended", "stopped", "lives", "paused"];
    const before = await Promise.all(names.map(shown));
    await again(() => engine.shutdown({ leaveContainers: true }));
    expect(await Promise.all(names.map(shown))).toEqual(before);
    expect(await Promise.all(names.map(status))).toEqual(["created", "exited", "exited", "running", "paused"]);
    await engine.resume();
    expect(await status("stopped")).toBe("exited");
    await engine.containers.unpause("paused");
  });

  test("also after a daemon that was killed a moment later; one that went on meanwhile is found by its supervisor", async () => {
    const id = await run("ended");
    machine.latest().end(3);
    const description = join(root, "containers", id, "container.json");
    await until(() => readFileSync(description, "utf8").includes('"exited"'));
    await run("lives");
    await again(async () => undefined);
    expect((await shown("ended")).State).toMatchObject({ Status: "exited", ExitCode: 3 });
    expect(await status("lives")).toBe("running");
    expect([...machine.endpoints.keys()]).toHaveLength(1);
  });
});

describe("life", () => {
  test("create, start, exit, remove", async () => {
    const id = await run("one");
    expect(await status("one")).toBe("running");
    const { result } = await engine.containers.wait("one", "not-running", never);
    const removed = await engine.containers.wait("one", "removed", never);
    machine.latest().end(3);
    expect(await result).toEqual({ StatusCode: 3 });
    const shown = await engine.containers.inspect(id.slice(0, 6), false);
    expect([shown.State.Status, shown.State.ExitCode, shown.State.Pid]).toEqual(["exited", 3, 0]);
    expect(machine.endpoints.size).toBe(0);
    expect(machine.cgroups.size).toBe(0);
    await engine.containers.remove("one", { volumes: false, force: false, link: false });
    expect(await removed.result).toEqual({ StatusCode: 3 });
    expectClean();
    expect(await actions()).toEqual(["create", "start", "die", "destroy"]);
  });

  test("--rm: 'removed' answers after the removal", async () => {
    await engine.containers.create("gone", undefined, request({ AutoRemove: true }));
    const { result } = await engine.containers.wait("gone", "removed", never);
    await engine.containers.start("gone", undefined);
    machine.latest().end(0);
    expect(await result).toEqual({ StatusCode: 0 });
    await expect(engine.containers.inspect("gone", false)).rejects.toThrow("No such container: gone");
    expectClean();
  });

  test("patterns of log options are checked at create, and one of an older row takes no descriptor with it", async () => {
    const logging = (pattern: string) => ({ LogConfig: { Type: "json-file", Config: { "env-regex": pattern } } });
    await expect(engine.containers.create("bad", undefined, request(logging("(")))).rejects.toThrow(
      "error parsing regexp: missing closing ): `(`",
    );
    await engine.containers.create("old", undefined, request(logging("^X")));
    machine.database.run(`UPDATE containers SET fixed = replace(fixed, '"^X"', '"("')`);
    const next = await startDaemon(machine, root);
    await expect(next.containers.start("old", undefined)).rejects.toThrow("error parsing regexp");
    expect(machine.openFds).toBe(0);
    await next.shutdown();
  });

  test("attachments made before the start see the first byte", async () => {
    await engine.containers.create("at", undefined, request({}, { OpenStdin: true, StdinOnce: true }));
    const attach = { stdin: true, stdout: true, stderr: false, logs: false, stream: true, detachKeys: undefined };
    const first = await engine.containers.attach("at", attach, never);
    const gone = new AbortController();
    const second = await engine.containers.attach("at", attach, gone.signal);
    gone.abort();
    expect(await second.stream).toBeUndefined();
    await engine.containers.start("at", undefined);
    expect((await first.stream)?.fd).toBe(500);
    expect(machine.latest().request.io.attach).toEqual([
      { stdin: true, stdout: true, stderr: false, closeStdin: true },
    ]);
  });

  test("so many clients wait for a start, and no more", async () => {
    await engine.containers.create("at", undefined, request());
    const attach = { stdin: false, stdout: true, stderr: false, logs: false, stream: true, detachKeys: undefined };
    const waiting = [];
    for (let index = 0; index < 200; index++) waiting.push(await engine.containers.attach("at", attach, never));
    await expect(engine.containers.attach("at", attach, never)).rejects.toThrow(
      "200 clients wait for the start of container",
    );
    await engine.containers.remove("at", { force: false, volumes: false, link: false });
    for (const { stream } of waiting) expect(await stream).toBeUndefined();
  });

  test("a removal ends a pending attach", async () => {
    await engine.containers.create("at", undefined, request());
    const { stream } = await engine.containers.attach(
      "at",
      { stdin: false, stdout: true, stderr: true, logs: false, stream: true, detachKeys: undefined },
      never,
    );
    await engine.containers.remove("at", { volumes: false, force: false, link: false });
    expect(await stream).toBeUndefined();
  });
});

describe("a database that does not take a row", () => {
  const full = new EngineError("resource-exhausted", "database or disk is full");

  test("a start leaves nothing that runs", async () => {
    await engine.containers.create("one", undefined, request());
    machine.onLaunch = () => (machine.failWrites = full);
    await expect(engine.containers.start("one", undefined)).rejects.toThrow("disk is full");
    expect(machine.latest().ended).toBeDefined();
    expect([machine.cgroups.size, machine.endpoints.size]).toEqual([0, 0]);
    machine.failWrites = undefined;
    machine.onLaunch = () => undefined;
    expect(await status("one")).toBe("created");
    await engine.containers.start("one", undefined);
    expect(await status("one")).toBe("running");
  });

  test("the end of a run is written as soon as it does", async () => {
    await run("one");
    machine.failWrites = full;
    machine.latest().end(7);
    await until(() => machine.endpoints.size === 0);
    await until(async () => (await status("one")) === "exited");
    machine.failWrites = undefined;
    await until(async () => (await status("one")) === "exited");
    expect((await engine.containers.inspect("one", false)).State.ExitCode).toBe(7);
  });

  test("a daemon that ends before that leaves it to the next", async () => {
    await run("one");
    machine.failWrites = full;
    machine.latest().end(7);
    await until(() => machine.endpoints.size === 0);
    await engine.shutdown();
    machine.failWrites = undefined;
    engine = await startDaemon(machine, root);
    expect(await status("one")).toBe("exited");
    expect((await engine.containers.inspect("one", false)).State.ExitCode).toBe(7);
  });
});

describe("a start that fails", () => {
  test.each([
    [new EngineError("executable-not-found", 'exec: "x": executable file not found in $PATH'), 127],
    [new EngineError("not-executable", 'exec: "/etc": is a directory: permission denied'), 126],
    [new EngineError("internal", "something else"), 128],
  ])("%p", async (error, code) => {
    machine.failLaunch = error;
    await engine.containers.create("bad", undefined, request());
    await expect(engine.containers.start("bad", undefined)).rejects.toThrow(error.message);
    await until(async () => (await engine.containers.inspect("bad", false)).State.ExitCode === code);
    expect(await status("bad")).toBe("created");
    expect(machine.endpoints.size).toBe(0);
    expect(machine.cgroups.size).toBe(0);
    expect(existsSync(join(root, "containers", (await engine.containers.inspect("bad", false)).Id, "run"))).toBe(false);
    machine.failLaunch = undefined;
    await engine.containers.start("bad", undefined);
    expect(await status("bad")).toBe("running");
  });

  test("on the network, with --rm", async () => {
    const taken = new EngineError("conflict", "Bind for 0.0.0.0:80 failed: port is already allocated");
    machine.faults.failNext("sandbox.connect", taken);
    await engine.containers.create("web", undefined, request({ AutoRemove: true }));
    await expect(engine.containers.start("web", undefined)).rejects.toThrow(
      "failed to set up container networking: Bind for 0.0.0.0:80 failed: port is already allocated",
    );
    await until(() => machine.snapshots.keys.size === 0);
    expectClean();
    expect(machine.openFds).toBe(0);
  });
});

test("explain plans a container and makes nothing for it", async () => {
  await engine.containers.create("donor", undefined, request());
  machine.faults.forget();

  const published: string[] = [];
  const stop = new AbortController();
  const events = engine.system.events({ since: undefined, until: undefined, filters: {} }, stop.signal);
  const { Text } = await engine.containers.explain(
    request({ Binds: ["fresh:/data"], PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "8080" }] } }),
  );
  expect(Text).toContain("port 80/tcp published at port 8080 of the host");
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
  ]);
  expect(machine.faults.calls.map(({ name }) => name).filter((name) => !reading.has(name))).toEqual([]);
  expect([machine.snapshots.keys.size, machine.volumes.size, machine.cgroups.size, machine.processes.size]).toEqual([
    1, 0, 0, 0,
  ]);
  expect(machine.openFds).toBe(0);
  stop.abort();
  for await (const { Action } of events) published.push(Action);
  expect(published).toEqual([]);
});

describe("names and ids", () => {
  test("conflict, prefix, rename", async () => {
    const first = await engine.containers.create("one", undefined, request());
    await expect(engine.containers.create("one", undefined, request())).rejects.toThrow(
      `Conflict. The container name "/one" is already in use by container "${first.Id}".`,
    );
    await engine.containers.rename("one", "two");
    expect((await engine.containers.inspect("/two", false)).Name).toBe("/two");
    await engine.containers.create("one", undefined, request());
    await expect(engine.containers.rename("one", "two")).rejects.toThrow("Error when allocating new name: Conflict.");
    await expect(engine.containers.rename("one", "bad name")).rejects.toThrow(
      "Error when allocating new name: Invalid container name (/bad name)",
    );
    await expect(engine.containers.inspect("", false)).rejects.toThrow("No such container: ");
  });

  test("a failed create frees the name and leaves nothing", async () => {
    await expect(engine.containers.create("one", undefined, request({}, { StopSignal: "NOSUCH" }))).rejects.toThrow(
      "invalid signal: NOSUCH",
    );
    await expect(engine.containers.create("one", undefined, request({}, { Image: "nosuch" }))).rejects.toThrow(
      "No such image: nosuch",
    );
    await expect(engine.containers.create("one", undefined, request({ Binds: ["v:relative"] }))).rejects.toThrow(
      "mount path must be absolute",
    );
    await engine.containers.create("one", undefined, request());
  });
});

describe("stop and restart", () => {
  test("the stop signal, then SIGKILL", async () => {
    await run("deaf", {}, { StopTimeout: 0, StopSignal: "USR1" });
    const process = machine.latest();
    await engine.containers.stop("deaf", { signal: undefined, timeoutSeconds: undefined });
    expect(process.signals).toEqual([10, 9]);
    expect((await engine.containers.inspect("deaf", false)).State.ExitCode).toBe(137);
    await expect(engine.containers.stop("deaf", { signal: undefined, timeoutSeconds: 0 })).rejects.toMatchObject({
      code: "not-modified",
    });
    await expect(engine.containers.kill("deaf", undefined)).rejects.toThrow(
      /^cannot kill container: deaf: container [0-9a-f]{64} is not running$/,
    );
  });

  test("a policy restarts what dies, not what the user stopped", async () => {
    await run("always", { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } });
    machine.latest().end(1);
    await until(async () => (await engine.containers.inspect("always", false)).RestartCount === 1);
    await until(async () => (await status("always")) === "running");
    await engine.containers.kill("always", "KILL");
    // sleep: longer than the policy's first delay
    await Bun.sleep(150);
    expect(await status("always")).toBe("exited");
    await engine.containers.start("always", undefined);
    expect((await engine.containers.inspect("always", false)).RestartCount).toBe(0);
  });

  test("on-failure gives up", async () => {
    await run("fail", { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 } });
    machine.latest().end(5);
    await until(
      async () =>
        (await engine.containers.inspect("fail", false)).RestartCount === 1 && (await status("fail")) === "running",
    );
    machine.latest().end(5);
    await until(async () => (await status("fail")) === "exited");
    expect((await engine.containers.inspect("fail", false)).RestartCount).toBe(1);
  });

  test("restart with --rm keeps the container", async () => {
    await run("keep", { AutoRemove: true });
    await engine.containers.restart("keep", { signal: undefined, timeoutSeconds: 0 });
    expect(await status("keep")).toBe("running");
    expect(await actions()).toEqual(["create", "start", "kill", "die", "stop", "start", "restart"]);
  });

  describe("two restarts at once with --rm", () => {
    const soon = { signal: undefined, timeoutSeconds: 0 };

    test("both succeed, and the container goes with its next end", async () => {
      await run("twice", { AutoRemove: true });
      const launching = { reached: deferred<void>(), goOn: deferred<void>() };
      machine.launching = launching;
      const first = engine.containers.restart("twice", soon);
      await launching.reached.promise;
      const second = engine.containers.restart("twice", soon);
      launching.goOn.resolve();
      await Promise.all([first, second]);
      expect(await status("twice")).toBe("running");
      machine.latest().end(0);
      await until(() => machine.snapshots.keys.size === 0);
    });

    test("one that fails does not let the container go while the other stops it", async () => {
      await run("twice", { AutoRemove: true });
      const process = machine.latest();
      process.onSignal = () => undefined;
      const slow = engine.containers.restart("twice", { signal: undefined, timeoutSeconds: -1 });
      await until(() => process.signals.length === 1);
      machine.faults.failAlways("supervisor.signal", new Error("not now"));
      machine.faults.failAlways("cgroup.kill", new Error("nor this"));
      await expect(engine.containers.restart("twice", soon)).rejects.toThrow("nor this");
      machine.faults.clear();
      process.end(0);
      await slow;
      expect(await status("twice")).toBe("running");
    });

    test("when the last of them fails after the end, the container goes as --rm says", async () => {
      await run("twice", { AutoRemove: true });
      const full = new EngineError("resource-exhausted", "database: disk I/O error: is the disk full?");
      machine.failWrites = (sql) => (sql.startsWith("UPDATE") ? full : undefined);
      await expect(engine.containers.restart("twice", soon)).rejects.toThrow(full.message);
      machine.failWrites = undefined;
      await until(() => machine.snapshots.keys.size === 0);
      expect(await engine.containers.list({ all: true, limit: undefined, size: false, filters: {} })).toEqual([]);
    });
  });

  test("pause refuses what must wait", async () => {
    await run("tick");
    await engine.containers.pause("tick");
    await expect(engine.containers.pause("tick")).rejects.toThrow("is already paused");
    await expect(engine.containers.start("tick", undefined)).rejects.toThrow(
      "cannot start a paused container, try unpause instead",
    );
    const body = {
      User: "",
      Privileged: false,
      Tty: false,
      AttachStdin: false,
      AttachStdout: true,
      AttachStderr: true,
      DetachKeys: "",
      Env: null,
      WorkingDir: "",
      Cmd: ["true"],
    };
    await expect(engine.execs.create("tick", body)).rejects.toThrow(
      "Container tick is paused, unpause the container before exec",
    );
    await expect(engine.containers.remove("tick", { volumes: false, force: false, link: false })).rejects.toThrow(
      "container is paused and must be unpaused first",
    );
    await engine.containers.unpause("tick");
    expect(await status("tick")).toBe("running");
  });
});

describe("a daemon's start after kill -9", () => {
  test("running ones run on, ended ones have their true code, lost ones say so", async () => {
    await run("runs");
    const ip = (await engine.containers.inspect("runs", false)).NetworkSettings.Networks["bridge"]?.IPAddress;
    await run("ended");
    const ended = machine.latest();
    await run("lost");
    const lostDirectory = machine.latest().request.directory;

    // As after kill -9: this daemon sees nothing of what happens now.
    const before = engine;
    for (const process of machine.processes.values()) process.leave();
    machine.processes.delete(lostDirectory);
    ended.ended = { code: 7, signal: 0, finishedAt: "2026-02-03T04:05:06Z" };
    engine = await startDaemon(machine, root);

    expect(await status("runs")).toBe("running");
    expect((await engine.containers.inspect("runs", false)).NetworkSettings.Networks["bridge"]?.IPAddress).toBe(ip!);
    const shown = await engine.containers.inspect("ended", false);
    expect([shown.State.Status, shown.State.ExitCode, shown.State.FinishedAt]).toEqual([
      "exited",
      7,
      "2026-02-03T04:05:06Z",
    ]);
    const lost = await engine.containers.inspect("lost", false);
    expect([lost.State.Status, lost.State.ExitCode]).toEqual(["exited", 255]);
    expect(lost.State.Error).toContain("was not seen");
    expect(machine.endpoints.size).toBe(1);
    expect(machine.cgroups.size).toBe(1);
    void before;
  });

  test("an end for lack of memory that nobody saw has both events", async () => {
    await run("greedy");
    const process = machine.latest();
    process.leave();
    machine.oomKills = 1;
    process.ended = { code: 137, signal: 9, finishedAt: "2026-02-03T04:05:06Z" };
    engine = await startDaemon(machine, root);
    expect(await actions()).toEqual(["oom", "die"]);
    expect((await engine.containers.inspect("greedy", false)).State.OOMKilled).toBe(true);
  });

  test("a process that was launched before the row was written is taken over", async () => {
    const id = await run("late");
    const row = machine.database.query("SELECT changing FROM containers").get() as { changing: string };
    const state = JSON.parse(row.changing) as {
      state: { status: string; startedAt: string };
      networks: { endpoint?: unknown; networkId: string }[];
    };
    state.state = { ...state.state, status: "created", startedAt: "0001-01-01T00:00:00Z" };
    state.networks = state.networks.map((network) => ({ ...network, endpoint: undefined, networkId: "" }));
    machine.database.run("UPDATE containers SET changing = ?", [JSON.stringify(state)]);
    engine = await startDaemon(machine, root);
    const shown = await engine.containers.inspect(id, false);
    expect(shown.State.Status).toBe("running");
    expect(shown.NetworkSettings.Networks["bridge"]?.IPAddress).toBe("172.17.0.2");
  });

  test("a row of a version that knew Docker's containers alone is read, and runs", async () => {
    await engine.containers.create("old", undefined, request({}, { StopSignal: "INT" }));
    const now = await engine.containers.inspect("old", false);
    await engine.shutdown();
    const { fixed } = machine.database.query("SELECT fixed FROM containers").get() as { fixed: string };
    const { spec: _none, extension, ...rest } = JSON.parse(fixed) as Record<string, unknown>;
    machine.database
      .query("UPDATE containers SET fixed = ?")
      .run(JSON.stringify({ ...rest, ...(extension as Record<string, unknown>) }));
    // Its description is from the same version.
    const path = join(root, "containers", now.Id, "container.json");
    const described = JSON.parse(readFileSync(path, "utf8")) as { record: object };
    writeFileSync(path, JSON.stringify({ ...described, record: { ...rest, ...(extension as object) } }));
    engine = await startDaemon(machine, root);
    expect(await engine.containers.inspect("old", false)).toEqual(now);
    await engine.containers.start("old", undefined);
    machine.latest().onSignal = (signal) => machine.latest().end(signal);
    await engine.containers.stop("old", { signal: undefined, timeoutSeconds: 5 });
    expect(machine.latest().signals).toEqual([2]);
  });

  test("leftovers without a row go", async () => {
    const leftover = `/fathom/${"d".repeat(64)}`;
    machine.cgroups.add(leftover).add("/fathom/somebody-elses");
    machine.emptyCgroups.add(leftover);
    machine.snapshots.prepare("e".repeat(64), undefined, "container");
    mkdirSync(join(root, "containers", "f".repeat(64)));
    engine = await startDaemon(machine, root);
    expect([...machine.cgroups]).toEqual(["/fathom/somebody-elses"]);
    expect(machine.snapshots.keys.size).toBe(0);
    expect(readdirSync(join(root, "containers"))).toEqual([]);
  });

  test("processes of another engine with the same cgroup parent live on", async () => {
    const other = `/fathom/${"d".repeat(64)}`;
    machine.cgroups.add(other);
    engine = await startDaemon(machine, root);
    expect([...machine.cgroups]).toEqual([other]);
    machine.cgroups.clear();
  });

  test("a half-made container is unmade with its anonymous volumes", async () => {
    await engine.containers.create("half", undefined, request({}, { Volumes: { "/data": {} } }));
    expect(machine.volumes.size).toBe(1);
    const row = machine.database.query("SELECT changing FROM containers").get() as { changing: string };
    machine.database.run("UPDATE containers SET changing = ?", [
      JSON.stringify({ ...JSON.parse(row.changing), pending: "creating" }),
    ]);
    engine = await startDaemon(machine, root);
    expect(machine.volumes.size).toBe(0);
    expect(await engine.containers.list({ all: true, limit: undefined, size: false, filters: {} })).toEqual([]);
    expectClean();
  });

  test("policies resume: always, unless-stopped, on-failure", async () => {
    const policies = ["always", "unless-stopped", "on-failure", "no"] as const;
    for (const Name of policies) await run(Name, { RestartPolicy: { Name, MaximumRetryCount: 0 } });
    await run("stopped", { RestartPolicy: { Name: "unless-stopped", MaximumRetryCount: 0 } });
    await engine.containers.stop("stopped", { signal: undefined, timeoutSeconds: 0 });
    for (const process of machine.processes.values()) {
      process.leave();
      process.ended ??= { code: 1, signal: 0, finishedAt: "2026-02-03T04:05:06Z" };
    }
    engine = await startDaemon(machine, root);
    await until(async () => (await status("always")) === "running" && (await status("on-failure")) === "running");
    await until(async () => (await status("unless-stopped")) === "running");
    expect([await status("no"), await status("stopped")]).toEqual(["exited", "exited"]);
  });
});

describe("a supervisor that cannot be reached is not dead", () => {
  const unreachable = new EngineError("unavailable", "the container's supervisor cannot be asked: it is stopped");

  test.each([
    ["fails", () => machine.faults.failNext("launcher.reconnect", new Error("EMFILE: too many open files"))],
    ["never answers", () => void machine.faults.hangNext("launcher.reconnect")],
  ])("a reconnect that %s leaves the container running", async (_, plan) => {
    await run("one");
    const process = machine.latest();
    const cgroups = [...machine.cgroups];
    plan();
    engine = await startDaemon(machine, root);
    expect(process.ended).toBeUndefined();
    expect([...machine.cgroups]).toEqual(cgroups);
    const { State } = await engine.containers.inspect("one", false);
    expect(State).toMatchObject({ Status: "running", Running: true });
    expect(State.Error).not.toBe("");
    expect(await engine.containers.list({ all: false, limit: undefined, size: false, filters: {} })).toHaveLength(1);
    // Nothing of it was swept away, and it can be ended.
    await engine.containers.stop("one", { signal: undefined, timeoutSeconds: 1 });
    expect(process.signals).toEqual([15]);
    expect(await status("one")).toBe("exited");
  });

  test("its state says so, and does not once it is reached again", async () => {
    await run("one");
    machine.latest().unreachable = "it is stopped";
    expect((await engine.containers.inspect("one", false)).State).toMatchObject({
      Status: "running",
      Error: "it is stopped",
    });
    machine.latest().unreachable = undefined;
    expect((await engine.containers.inspect("one", false)).State.Error).toBe("");
  });

  test("a stop whose signals fail ends the container by its cgroup", async () => {
    await run("one");
    const process = machine.latest();
    machine.faults.failAlways("supervisor.signal", unreachable);
    await engine.containers.stop("one", { signal: "KILL", timeoutSeconds: 0 });
    expect(process.ended?.code).toBe(137);
    expect(await status("one")).toBe("exited");
  }, 30_000);

  test("an exec and an attach that fail are errors, and the container is untouched", async () => {
    await run("one");
    machine.faults.failAlways("supervisor.exec", unreachable);
    machine.faults.failAlways("supervisor.attach", unreachable);
    const { Id } = await engine.execs.create("one", execRequest);
    await expect(engine.execs.start(Id, { detach: true, consoleSize: undefined }, never)).rejects.toThrow(
      "it is stopped",
    );
    expect(await engine.execs.inspect(Id)).toMatchObject({ Running: false, ExitCode: 126 });
    const streams = { stdin: false, stdout: true, stderr: true, logs: false, stream: true, detachKeys: undefined };
    await expect(engine.containers.attach("one", streams, never)).rejects.toThrow("it is stopped");
    expect(await status("one")).toBe("running");
  });
});

describe("a full disk", () => {
  test("an end is known at once, and written when there is room", async () => {
    await run("one");
    const directory = machine.latest().request.directory;
    const { result } = await engine.containers.wait("one", "not-running", never);
    machine.failWrites = new EngineError("resource-exhausted", "the disk is full");
    machine.latest().end(4);
    expect(await result).toEqual({ StatusCode: 4 });
    const { State } = await engine.containers.inspect("one", false);
    expect([State.Status, State.ExitCode]).toEqual(["exited", 4]);
    // The supervisor's file is the only one that knows.
    expect(existsSync(directory)).toBe(true);
    await expect(engine.containers.start("one", undefined)).rejects.toThrow("full");
    const row = (): string => machine.database.query("SELECT changing FROM containers").values()[0]![0] as string;
    expect(row()).toContain('"running"');
    machine.failWrites = undefined;
    await until(() => row().includes('"exited"'));
    await until(() => !existsSync(directory));
  });

  test("a stop stops", async () => {
    await run("one");
    machine.failWrites = new EngineError("resource-exhausted", "the disk is full");
    await engine.containers.stop("one", { signal: undefined, timeoutSeconds: 0 });
    expect(await status("one")).toBe("exited");
    machine.failWrites = undefined;
  });
});

/** A container whose policy is just starting it again: `goOn` lets the launch happen. */
async function restarting(name: string): Promise<{ goOn: () => void }> {
  await run(name, { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } });
  const launching = { reached: deferred<void>(), goOn: deferred<void>() };
  machine.launching = launching;
  machine.latest().end(1);
  await launching.reached.promise;
  return { goOn: () => launching.goOn.resolve() };
}

test("a forced removal gets a container that its policy is starting", async () => {
  const { goOn } = await restarting("again");
  const removal = engine.containers.remove("again", { volumes: false, force: true, link: false });
  goOn();
  await removal;
  expectClean();
});

test("a forced removal waits for the disk once, and its container's own end before it for its row", async () => {
  const waits: string[] = [];
  machine.failWrites = (sql) => {
    if (!machine.isRelaxed) waits.push(sql.split(" ")[0]!);
    return undefined;
  };
  await run("removed");
  await run("ends");
  waits.length = 0;
  await engine.containers.remove("removed", { volumes: false, force: true, link: false });
  expect(waits.splice(0)).toEqual(["DELETE"]);
  machine.latest().end(3);
  await engine.containers.wait("ends", "not-running", never).then(({ result }) => result);
  expect(waits.splice(0)).toEqual(["UPDATE"]);
  await engine.containers.remove("ends", { volumes: false, force: true, link: false });
  expectClean();
});

describe("writes that fail", () => {
  const full = new EngineError("resource-exhausted", "database: disk I/O error: is the disk full?");
  const check = {
    Test: ["CMD", "true"],
    Interval: 5_000_000,
    Timeout: 0,
    StartPeriod: 0,
    StartInterval: 0,
    Retries: 3,
  };

  test("a removal that fails wakes who waits for it, and can be done again", async () => {
    await run("rm", { AutoRemove: true });
    const { result } = await engine.containers.wait("rm", "removed", never);
    machine.failWrites = (sql) => (sql.startsWith("DELETE") ? full : undefined);
    machine.latest().end(7);
    expect(await result).toEqual({ StatusCode: 7, Error: { Message: full.message } });
    machine.failWrites = undefined;
    await engine.containers.remove("rm", { volumes: false, force: false, link: false });
    expectClean();
  });

  test.each(["resource-exhausted", "data-loss", "unavailable", "internal"] as const)(
    "an end is known when its row cannot be written (%s)",
    async (code) => {
      await run("ends");
      const { result } = await engine.containers.wait("ends", "next-exit", never);
      machine.failWrites = new EngineError(code, "the row cannot be written");
      machine.latest().end(4);
      expect(await result).toEqual({ StatusCode: 4 });
      expect(await status("ends")).toBe("exited");
      machine.failWrites = undefined;
      await until(
        () =>
          machine.database.query("SELECT changing FROM containers").get() !== null &&
          String(
            (machine.database.query("SELECT changing FROM containers").get() as { changing: string }).changing,
          ).includes('"status":"exited"'),
      );
    },
  );

  test("health checks go on when their results cannot be written", async () => {
    machine.failWrites = (_, parameters) => (/"failingStreak":[1-9]/.test(String(parameters[0])) ? full : undefined);
    machine.faults.failAlways("supervisor.exec");
    await run("checked", {}, { Healthcheck: check });
    const streak = async (): Promise<number> =>
      (await engine.containers.inspect("checked", false)).State.Health?.FailingStreak ?? 0;
    await until(async () => (await streak()) >= 2);
    machine.failWrites = undefined;
    const before = await streak();
    await until(async () => (await streak()) > before);
    expect(await status("checked")).toBe("running");
  });

  test("limits whose row cannot be written are as before", async () => {
    await run("limited", { Memory: 64 * 2 ** 20 });
    machine.failWrites = full;
    await expect(engine.containers.update("limited", { Memory: 32 * 2 ** 20 } as never)).rejects.toThrow("disk full");
    expect(machine.applied).toHaveLength(3);
    expect((await engine.containers.inspect("limited", false)).HostConfig.Memory).toBe(64 * 2 ** 20);
  });

  test("a pause whose row cannot be written is none", async () => {
    await run("paused");
    machine.failWrites = full;
    await expect(engine.containers.pause("paused")).rejects.toThrow("disk full");
    expect(await status("paused")).toBe("running");
    expect([...machine.frozen]).toEqual([]);
  });
});

describe("an exec whose client hangs up", () => {
  const request: ExecCreateRequest = {
    User: "",
    Privileged: false,
    Tty: false,
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: false,
    DetachKeys: "",
    Env: null,
    WorkingDir: "",
    Cmd: ["true"],
  };
  const options = { detach: false, consoleSize: undefined };

  test("before its start is not started", async () => {
    await run("host");
    const { Id } = await engine.execs.create("host", request);
    await expect(engine.execs.start(Id, options, AbortSignal.abort(new Error("hung up")))).rejects.toThrow("hung up");
    expect(machine.latest().execs).toEqual([]);
    expect((await engine.execs.start(Id, options, never))?.fd).toBe(700);
  });

  test("during its start leaves no descriptor", async () => {
    await run("host");
    const { Id } = await engine.execs.create("host", request);
    const gone = new AbortController();
    const before = machine.openFds;
    const started = engine.execs.start(Id, options, gone.signal);
    gone.abort();
    expect(await started).toBeUndefined();
    // The fake counts what the engine closes; the descriptor itself came from the supervisor.
    expect(machine.openFds).toBe(before - 1);
    expect((await engine.execs.inspect(Id)).Running).toBe(true);
  });
});

describe("two at once", () => {
  test("a stop while the policy starts it ends what comes of that", async () => {
    await run("again", { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } });
    machine.launching = { reached: deferred(), goOn: deferred() };
    machine.latest().end(1);
    await machine.launching.reached.promise;
    const stopped = engine.containers.stop("again", { signal: undefined, timeoutSeconds: 1 });
    machine.launching.goOn.resolve();
    await stopped;
    expect(await status("again")).toBe("exited");
  });
});

describe("ends that are waited for", () => {
  /** It has ended, and its policy waits before the next try. */
  async function waitingForPolicy(name: string): Promise<void> {
    await run(name, { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } });
    // Each wait is twice as long as the one before: the fourth is 800 ms.
    for (let count = 0; count < 4; count++) {
      const before = machine.processes.size;
      const process = machine.latest();
      process.end(3);
      await until(async () => (await status(name)) === "restarting");
      if (count < 3) await until(() => machine.latest() !== process || machine.processes.size > before);
      if (count < 3) await until(async () => (await status(name)) === "running");
    }
  }

  test("a wait for a container between two tries ends when a stop ends the policy", async () => {
    await waitingForPolicy("again");
    const { result } = await engine.containers.wait("again", "not-running", never);
    await engine.containers.stop("again", { signal: undefined, timeoutSeconds: 1 });
    expect(await status("again")).toBe("exited");
    expect(await result).toEqual({ StatusCode: 3 });
  });

  test("a wait for a container between two tries ends when its start fails for good", async () => {
    await run("once", { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 } });
    machine.failLaunch = new EngineError("internal", "no such luck");
    machine.latest().end(3);
    await until(async () => (await status("once")) === "restarting");
    const { result } = await engine.containers.wait("once", "not-running", never);
    await until(async () => (await status("once")) === "exited");
    machine.failLaunch = undefined;
    expect((await result).StatusCode).not.toBe(0);
  });

  test("who waits for an end hears of it also where the files of the run cannot be removed", async () => {
    const id = await run("kept");
    const { result } = await engine.containers.wait("kept", "next-exit", never);
    const directory = join(root, "containers", id);
    renameSync(directory, `${directory}.away`);
    symlinkSync(id, directory);
    machine.latest().end(4);
    expect(await result).toEqual({ StatusCode: 4 });
    unlinkSync(directory);
    renameSync(`${directory}.away`, directory);
  });

  test("a stop waits as long as it was asked to, also for more than a timer of the runtime holds", async () => {
    await run("slow");
    machine.latest().onSignal = () => undefined;
    const stopped = engine.containers.stop("slow", { signal: undefined, timeoutSeconds: 3_000_000 });
    await until(() => machine.latest().signals.length > 0);
    // A timer that fires too early has fired by then.
    await systemClock.sleep(20);
    machine.latest().end(0);
    await stopped;
    expect(machine.latest().signals).toEqual([15]);
  });

  test("a client that hangs up while its container is being launched leaves no descriptor", async () => {
    await engine.containers.create("at", undefined, request());
    const gone = new AbortController();
    const attach = { stdin: true, stdout: true, stderr: true, logs: false, stream: true, detachKeys: undefined };
    const { stream } = await engine.containers.attach("at", attach, gone.signal);
    const before = machine.openFds;
    machine.launching = { reached: deferred(), goOn: deferred() };
    const started = engine.containers.start("at", undefined);
    await machine.launching.reached.promise;
    gone.abort();
    machine.launching.goOn.resolve();
    await started;
    machine.launching = undefined;
    expect(await stream).toBeUndefined();
    // The fake counts what the engine closes; the descriptor itself came from the supervisor.
    expect(machine.openFds).toBe(before - 1);
  });

  test("an attach that fails later is no error that nobody handles", async () => {
    await engine.containers.create("late", undefined, request());
    machine.launching = { reached: deferred(), goOn: deferred() };
    const started = engine.containers.start("late", undefined);
    await machine.launching.reached.promise;
    const attach = { stdin: false, stdout: true, stderr: true, logs: false, stream: true, detachKeys: undefined };
    machine.faults.failNext("supervisor.attach", new EngineError("unavailable", "no descriptor left"));
    // As of a client that still reads the log.
    const { stream } = await engine.containers.attach("late", attach, never);
    machine.launching.goOn.resolve();
    await started;
    machine.launching = undefined;
    await systemClock.sleep(0);
    await expect(stream!).rejects.toThrow("no descriptor left");
  });
});

describe("a graceful stop", () => {
  test("one container that cannot be ended keeps no other from its end, and the rest is closed", async () => {
    await run("deaf");
    const deaf = machine.latest();
    deaf.onSignal = () => undefined;
    await run("slow");
    const slow = machine.latest();
    slow.onSignal = () => undefined;
    machine.faults.failNext("cgroup.kill", new EngineError("timeout", "a process of it does not end"));
    machine.faults.forget();
    await engine.shutdown();
    expect([deaf, slow].filter(({ ended }) => ended !== undefined)).toHaveLength(1);
    expect(machine.faults.calls.map(({ name }) => name)).toContain("networks.stop");
    engine = await startDaemon(machine, root);
  });

  test("waits for a start by a policy and stops what it started", async () => {
    const { goOn } = await restarting("again");
    const process = (): FakeProcess => machine.latest();
    const ended = engine.shutdown();
    goOn();
    await ended;
    expect(process().ended?.code).toBe(143);
    expect(await status("again")).toBe("exited");
    machine.launching = undefined;
    engine = await startDaemon(machine, root);
    await until(async () => (await status("again")) === "running");
  });

  test("stops containers, and policies do not count it as the user's word", async () => {
    await run("one", { RestartPolicy: { Name: "unless-stopped", MaximumRetryCount: 0 } });
    await engine.shutdown();
    expect(machine.latest().signals).toEqual([15]);
    engine = await startDaemon(machine, root);
    await until(async () => (await status("one")) === "running");
  });

  test("with live restore they run on", async () => {
    await engine.shutdown();
    engine = await startDaemon(machine, root, { liveRestore: true });
    await run("one");
    await engine.shutdown();
    expect(machine.latest().signals).toEqual([]);
    engine = await startDaemon(machine, root);
    expect(await status("one")).toBe("running");
  });
});

describe("lists", () => {
  test("a volume that is being filled for a container that is created is in use", async () => {
    const hang = machine.faults.hangNext("files.kindOf");
    const created = engine.containers.create("new", undefined, request({ Binds: ["data:/data"] }));
    await hang.reached;
    expect(volumeQuestions.uses?.ofVolume("data")).toHaveLength(1);
    expect([...(volumeQuestions.uses?.volumesInUse() ?? [])]).toEqual([["data", 1]]);
    hang.goOn();
    const { Id } = await created;
    expect(volumeQuestions.uses?.ofVolume("data")).toEqual([Id]);
    await engine.containers.remove("new", { volumes: false, force: false, link: false });
    expect(volumeQuestions.uses?.ofVolume("data")).toEqual([]);
  });

  test("uses of volumes are counted in one walk over the containers, however many volumes there are", async () => {
    for (const name of ["c1", "c2"])
      await engine.containers.create(name, undefined, request({ Binds: ["v0:/x", "v0:/y"] }));
    await engine.containers.create("c3", undefined, request({ Binds: ["v1:/x"] }));
    for (const Name of ["v0", "v1", "v2"])
      await engine.volumes.create({ Name, Driver: "", DriverOpts: null, Labels: null });
    const { VolumeUsage } = await engine.system.diskUsage(["volume"]);
    expect(VolumeUsage?.Items.map(({ UsageData }) => UsageData?.RefCount)).toEqual([2, 1, 0]);
  });

  test("filters and order", async () => {
    await run("web1", {}, { Labels: { tier: "front" }, ExposedPorts: { "80/tcp": {} } });
    await engine.containers.create("job1", undefined, request({ NetworkMode: "none" }, { Labels: { tier: "back" } }));
    const names = async (filters: Record<string, string[]>, all = true): Promise<string> =>
      (await engine.containers.list({ all, limit: undefined, size: false, filters }))
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
