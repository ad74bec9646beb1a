/** What the next daemon does with the state that it finds. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { EngineError } from "@fathom/base";
import { execRequest, never, request, until, useEngine } from "./testing/engine-world.ts";
import { startDaemon } from "./testing/fakes.ts";

const world = useEngine();

describe("a database that does not have the containers", () => {
  /** Without the values that an inspection computes again. */
  const shown = async (name: string) => {
    const { State, RestartCount, HostConfig, Config, NetworkSettings } = await world.engine.containers.inspect(
      name,
      false,
    );
    return { State, RestartCount, HostConfig, Config, NetworkSettings };
  };
  const again = async (end: () => Promise<unknown>): Promise<void> => {
    await end();
    world.machine.database.run("DELETE FROM containers");
    world.engine = await startDaemon(world.machine, world.root);
  };

  test("the containers come back unchanged: ended ones keep code and times; a container that a user stopped or paused stays stopped or paused", async () => {
    const policy = { RestartPolicy: { Name: "unless-stopped", MaximumRetryCount: 0 } } as const;
    await world.engine.containers.create("made", undefined, request());
    await world.run("ended");
    world.machine.latest().end(3);
    await until(async () => (await world.status("ended")) === "exited");
    await world.run("stopped", policy);
    await world.engine.containers.stop("stopped", { signal: "KILL", timeoutSeconds: 0 });
    await world.run("lives", { ...policy, Memory: 64 << 20 });
    await world.run("paused");
    await world.engine.containers.pause("paused");
    const names = ["made", "ended", "stopped", "lives", "paused"];
    const before = await Promise.all(names.map(shown));
    await again(() => world.engine.shutdown({ leaveContainers: true }));
    expect(await Promise.all(names.map(shown))).toEqual(before);
    expect(await Promise.all(names.map((name) => world.status(name)))).toEqual([
      "created",
      "exited",
      "exited",
      "running",
      "paused",
    ]);
    await world.engine.resume();
    expect(await world.status("stopped")).toBe("exited");
    await world.engine.containers.unpause("paused");
  });

  test("also when the daemon was killed a moment later; a container that continued meanwhile is found through its supervisor", async () => {
    const id = await world.run("ended");
    world.machine.latest().end(3);
    const description = join(world.root, "containers", id, "container.json");
    await until(() => readFileSync(description, "utf8").includes('"exited"'));
    await world.run("lives");
    await again(async () => undefined);
    expect((await shown("ended")).State).toMatchObject({ Status: "exited", ExitCode: 3 });
    expect(await world.status("lives")).toBe("running");
    expect([...world.machine.endpoints.keys()]).toHaveLength(1);
  });
});

describe("a daemon's start after kill -9", () => {
  test("a paused container whose cgroup cannot be read stays paused", async () => {
    await world.run("paused");
    await world.engine.containers.pause("paused");
    world.machine.faults.failNext("cgroup.frozen");
    world.engine = await startDaemon(world.machine, world.root);
    expect(world.machine.faults.done).toBe(true);
    expect(await world.status("paused")).toBe("paused");
    await world.engine.containers.unpause("paused");
  });

  test("a client that starts a container before its policy does not keep the policies of the others from working", async () => {
    const policy = { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } } as const;
    const ids: string[] = [];
    const ends: (() => void)[] = [];
    for (const name of ["first", "second"]) {
      ids.push(await world.run(name, policy));
      const { machine } = world;
      const run = machine.latest();
      ends.push(() => run.end(0));
    }
    const dead = world.engine;
    await dead.shutdown({ leaveContainers: true });
    for (const end of ends) end();
    world.engine = await startDaemon(world.machine, world.root);
    const launch = world.machine.faults.hangNext("stem.launch");
    const start = world.engine.containers.start(ids[0]!, undefined);
    await launch.reached;
    await world.engine.resume();
    launch.goOn();
    await start;
    await until(async () => (await world.status(ids[1]!)) === "running");
    expect(await Promise.all(ids.map((id) => world.status(id)))).toEqual(["running", "running"]);
  });

  test("running containers keep running, ended ones have their true code, lost ones say so", async () => {
    await world.run("runs");
    const ip = (await world.engine.containers.inspect("runs", false)).NetworkSettings.Networks["bridge"]?.IPAddress;
    await world.run("ended");
    const ended = world.machine.latest();
    await world.run("lost");
    const lostDirectory = world.machine.latest().request.directory;

    // As after kill -9: this daemon sees nothing of what happens now.
    const before = world.engine;
    for (const process of world.machine.processes.values()) process.leave();
    world.machine.processes.delete(lostDirectory);
    ended.ended = { code: 7, signal: 0, finishedAt: "2026-02-03T04:05:06Z" };
    world.engine = await startDaemon(world.machine, world.root);

    expect(await world.status("runs")).toBe("running");
    expect((await world.engine.containers.inspect("runs", false)).NetworkSettings.Networks["bridge"]?.IPAddress).toBe(
      ip!,
    );
    const shown = await world.engine.containers.inspect("ended", false);
    expect([shown.State.Status, shown.State.ExitCode, shown.State.FinishedAt]).toEqual([
      "exited",
      7,
      "2026-02-03T04:05:06Z",
    ]);
    const lost = await world.engine.containers.inspect("lost", false);
    expect([lost.State.Status, lost.State.ExitCode]).toEqual(["exited", 255]);
    expect(lost.State.Error).toContain("was not seen");
    expect(world.machine.endpoints.size).toBe(1);
    expect(world.machine.cgroups.size).toBe(1);
    void before;
  });

  test("the health of a running container begins anew and keeps its results, as at a restart", async () => {
    const second = 1_000_000_000;
    const Healthcheck = { Test: ["CMD", "true"], Interval: 3600 * second, Timeout: second, StartPeriod: 0, Retries: 1 };
    await world.run("checked", {}, { Healthcheck: { ...Healthcheck, StartInterval: second } });
    const checked = JSON.parse(
      String(world.machine.database.get("SELECT changing FROM containers")?.["changing"]),
    ) as object;
    const at = "2026-02-03T04:05:06Z";
    const results = [{ startedAt: at, endedAt: at, exitCode: 0, output: "fine" }];
    world.machine.database.run(
      "UPDATE containers SET changing = ?",
      JSON.stringify({ ...checked, health: { status: "unhealthy", failingStreak: 4, results } }),
    );
    world.engine = await startDaemon(world.machine, world.root);
    const health = async () => (await world.engine.containers.inspect("checked", false)).State.Health;
    const anew = {
      Status: "starting" as const,
      FailingStreak: 0,
      Log: [{ Start: at, End: at, ExitCode: 0, Output: "fine" }],
    };
    expect(await health()).toEqual(anew);
    await world.engine.containers.restart("checked", { signal: undefined, timeoutSeconds: 0 });
    expect(await health()).toEqual(anew);
  });

  test("an end for lack of memory that nobody saw has both events", async () => {
    await world.run("greedy");
    // They are stored now.
    expect(await world.actions()).toEqual(["create", "start"]);
    const process = world.machine.latest();
    process.leave();
    world.machine.oomKills = 1;
    process.ended = { code: 137, signal: 9, finishedAt: "2026-02-03T04:05:06Z" };
    world.engine = await startDaemon(world.machine, world.root);
    expect(await world.actions()).toEqual(["create", "start", "oom", "die"]);
    expect((await world.engine.containers.inspect("greedy", false)).State.OOMKilled).toBe(true);
  });

  test("a process that was launched before its row was written is taken over", async () => {
    const id = await world.run("late");
    const changing = String(world.machine.database.get("SELECT changing FROM containers")?.["changing"]);
    const state = JSON.parse(changing) as {
      state: { status: string; startedAt: string };
      networks: { endpoint?: unknown; networkId: string }[];
    };
    state.state = { ...state.state, status: "created", startedAt: "0001-01-01T00:00:00Z" };
    state.networks = state.networks.map((network) => ({ ...network, endpoint: undefined, networkId: "" }));
    world.machine.database.run("UPDATE containers SET changing = ?", JSON.stringify(state));
    world.engine = await startDaemon(world.machine, world.root);
    const shown = await world.engine.containers.inspect(id, false);
    expect(shown.State.Status).toBe("running");
    expect(shown.NetworkSettings.Networks["bridge"]?.IPAddress).toBe("172.17.0.2");
  });

  test("a row of a version that had only Docker's containers can be read, and its container runs", async () => {
    await world.engine.containers.create("old", undefined, request({}, { StopSignal: "INT" }));
    const now = await world.engine.containers.inspect("old", false);
    await world.engine.shutdown();
    const fixed = String(world.machine.database.get("SELECT fixed FROM containers")?.["fixed"]);
    const { spec: _none, extension, ...rest } = JSON.parse(fixed) as Record<string, unknown>;
    world.machine.database.run(
      "UPDATE containers SET fixed = ?",
      JSON.stringify({ ...rest, ...(extension as Record<string, unknown>) }),
    );
    // Its description is from the same version.
    const path = join(world.root, "containers", now.Id, "container.json");
    const described = JSON.parse(readFileSync(path, "utf8")) as { record: object };
    writeFileSync(path, JSON.stringify({ ...described, record: { ...rest, ...(extension as object) } }));
    world.engine = await startDaemon(world.machine, world.root);
    expect(await world.engine.containers.inspect("old", false)).toEqual(now);
    await world.engine.containers.start("old", undefined);
    world.machine.latest().onSignal = (signal) => world.machine.latest().end(signal);
    await world.engine.containers.stop("old", { signal: undefined, timeoutSeconds: 5 });
    expect(world.machine.latest().signals).toEqual([2]);
  });

  test("leftovers without a row are removed", async () => {
    const leftover = `/fathom/${"d".repeat(64)}`;
    world.machine.cgroups.add(leftover).add("/fathom/somebody-elses");
    world.machine.emptyCgroups.add(leftover);
    world.machine.snapshots.prepare("e".repeat(64), undefined, "container");
    mkdirSync(join(world.root, "containers", "f".repeat(64)));
    world.engine = await startDaemon(world.machine, world.root);
    expect([...world.machine.cgroups]).toEqual(["/fathom/somebody-elses"]);
    expect(world.machine.snapshots.keys.size).toBe(0);
    expect(readdirSync(join(world.root, "containers"))).toEqual([]);
  });

  test("processes of another engine with the same cgroup parent keep running", async () => {
    const other = `/fathom/${"d".repeat(64)}`;
    world.machine.cgroups.add(other);
    world.engine = await startDaemon(world.machine, world.root);
    expect([...world.machine.cgroups]).toEqual([other]);
    world.machine.cgroups.clear();
  });

  test("a half-made container is removed with its anonymous volumes", async () => {
    await world.engine.containers.create("half", undefined, request({}, { Volumes: { "/data": {} } }));
    expect(world.machine.volumes.size).toBe(1);
    const changing = String(world.machine.database.get("SELECT changing FROM containers")?.["changing"]);
    world.machine.database.run(
      "UPDATE containers SET changing = ?",
      JSON.stringify({ ...JSON.parse(changing), pending: "creating" }),
    );
    world.engine = await startDaemon(world.machine, world.root);
    expect(world.machine.volumes.size).toBe(0);
    expect(await world.engine.containers.list({ all: true, limit: undefined, size: false, filters: {} })).toEqual([]);
    world.expectClean();
  });

  test("a half-removed container is removed once", async () => {
    await world.run("half", { Mounts: [{ Type: "image", Source: "busybox", Target: "/image" }] });
    await world.engine.containers.stop("half", { signal: undefined, timeoutSeconds: 0 });
    const changing = String(world.machine.database.get("SELECT changing FROM containers")?.["changing"]);
    world.machine.database.run(
      "UPDATE containers SET changing = ?",
      JSON.stringify({ ...JSON.parse(changing), pending: "removing-with-volumes" }),
    );
    world.machine.faults.forget();
    world.engine = await startDaemon(world.machine, world.root);
    world.expectClean();
    const removals = world.machine.faults.calls.filter(({ name }) => name === "snapshots.remove");
    // Its own layer, and the mounted image's.
    expect(removals).toHaveLength(2);
  });

  test("a mount that cannot be removed keeps no other from being removed", async () => {
    const image = (Target: string) => ({ Type: "image", Source: "busybox", Target }) as const;
    await world.run("one", { Mounts: [image("/1"), image("/2")], IpcMode: "shareable" });
    world.machine.latest().leave();
    world.machine.latest().end(7);
    expect([...world.machine.mounts].map((path) => basename(path))).toContain("shm");
    // Shared memory and both images when the end is recorded, and shared memory and an image in the sweep.
    for (let call = 0; call < 5; call++) world.machine.faults.failNext("sys.umount");
    world.engine = await startDaemon(world.machine, world.root);
    expect(world.machine.faults.done).toBe(true);
    expect(world.machine.mounts.size).toBe(2);
    world.engine = await startDaemon(world.machine, world.root);
    expect(world.machine.mounts.size).toBe(0);
  });

  test("policies resume: always, unless-stopped, on-failure", async () => {
    const policies = ["always", "unless-stopped", "on-failure", "no"] as const;
    for (const Name of policies) await world.run(Name, { RestartPolicy: { Name, MaximumRetryCount: 0 } });
    await world.run("stopped", { RestartPolicy: { Name: "unless-stopped", MaximumRetryCount: 0 } });
    await world.engine.containers.stop("stopped", { signal: undefined, timeoutSeconds: 0 });
    for (const process of world.machine.processes.values()) {
      process.leave();
      process.ended ??= { code: 1, signal: 0, finishedAt: "2026-02-03T04:05:06Z" };
    }
    world.engine = await startDaemon(world.machine, world.root);
    await until(
      async () => (await world.status("always")) === "running" && (await world.status("on-failure")) === "running",
    );
    await until(async () => (await world.status("unless-stopped")) === "running");
    expect([await world.status("no"), await world.status("stopped")]).toEqual(["exited", "exited"]);
  });
});

test("a daemon that ends resumes nothing more: the next one does", async () => {
  for (const name of ["one", "two"])
    await world.engine.containers.create(name, undefined, request({ AutoRemove: true }));
  const ending = world.engine.shutdown();
  await world.engine.resume();
  await ending;
  expect(world.machine.snapshots.keys.size).toBe(2);
  world.engine = await startDaemon(world.machine, world.root);
  world.expectClean();
});

describe("a supervisor that cannot be reached is not dead", () => {
  const unreachable = new EngineError("unavailable", "the container's supervisor cannot be asked: it is stopped");

  test.each([
    ["fails", () => world.machine.faults.failNext("launcher.reconnect", new Error("EMFILE: too many open files"))],
    ["never answers", () => void world.machine.faults.hangNext("launcher.reconnect")],
  ])("a reconnect that %s leaves the container running", async (_, plan) => {
    await world.run("one");
    const process = world.machine.latest();
    const cgroups = [...world.machine.cgroups];
    plan();
    world.engine = await startDaemon(world.machine, world.root);
    expect(process.ended).toBeUndefined();
    expect([...world.machine.cgroups]).toEqual(cgroups);
    const { State } = await world.engine.containers.inspect("one", false);
    expect(State).toMatchObject({ Status: "running", Running: true });
    expect(State.Error).not.toBe("");
    expect(await world.engine.containers.list({ all: false, limit: undefined, size: false, filters: {} })).toHaveLength(
      1,
    );
    // Nothing of it was removed, and it can be ended.
    await world.engine.containers.stop("one", { signal: undefined, timeoutSeconds: 1 });
    expect(process.signals).toEqual([15]);
    expect(await world.status("one")).toBe("exited");
  });

  test.each([
    ["keeps running when the row does not have it yet", true],
    ["leaves nothing when it did not get as far as the launch", false],
  ])("a start of which nothing has an identity, and whose supervisor is not reached, %s", async (_, launched) => {
    const id = await world.run("one");
    const process = world.machine.latest();
    process.leave();
    const changing = JSON.parse(
      String(world.machine.database.get("SELECT changing FROM containers")?.["changing"]),
    ) as Record<string, unknown>;
    const state = { ...(changing["state"] as object), status: "created", pid: 0, startedAt: "0001-01-01T00:00:00Z" };
    world.machine.database.run("UPDATE containers SET changing = ?", JSON.stringify({ ...changing, state }));
    if (!launched) world.machine.emptyCgroups.add(`/fathom/${id}`);
    world.machine.faults.failNext("launcher.reconnect", new Error("EMFILE: too many open files"));
    world.engine = await startDaemon(world.machine, world.root);
    expect(await world.status("one")).toBe(launched ? "running" : "created");
    expect(process.ended === undefined).toBe(launched);
    process.end(0);
  });

  test("the container's state shows this, and no longer shows it when the supervisor is reached again", async () => {
    await world.run("one");
    world.machine.latest().unreachable = "it is stopped";
    expect((await world.engine.containers.inspect("one", false)).State).toMatchObject({
      Status: "running",
      Error: "it is stopped",
    });
    world.machine.latest().unreachable = undefined;
    expect((await world.engine.containers.inspect("one", false)).State.Error).toBe("");
  });

  test("a stop whose signals fail ends the container through its cgroup", async () => {
    await world.run("one");
    const process = world.machine.latest();
    world.machine.faults.failAlways("supervisor.signal", unreachable);
    await world.engine.containers.stop("one", { signal: "KILL", timeoutSeconds: 0 });
    expect(process.ended?.code).toBe(137);
    expect(await world.status("one")).toBe("exited");
  }, 30_000);

  test("an exec and an attach that fail are errors, and the container does not change", async () => {
    await world.run("one");
    world.machine.faults.failAlways("supervisor.exec", unreachable);
    world.machine.faults.failAlways("supervisor.attach", unreachable);
    const { Id } = await world.engine.execs.create("one", execRequest);
    await expect(world.engine.execs.start(Id, { detach: true, consoleSize: undefined }, never)).rejects.toThrow(
      "it is stopped",
    );
    expect(await world.engine.execs.inspect(Id)).toMatchObject({ Running: false, ExitCode: 126 });
    const streams = { stdin: false, stdout: true, stderr: true, logs: false, stream: true, detachKeys: undefined };
    await expect(world.engine.containers.attach("one", streams, never)).rejects.toThrow("it is stopped");
    expect(await world.status("one")).toBe("running");
  });
});
