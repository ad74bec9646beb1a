/** The ways to end containers: stop, restart, forced removal, the end of the daemon. */
import { beforeEach, describe, expect, test } from "bun:test";
import { deferred, EngineError } from "@fathom/base";
import { never, request, until, useEngine } from "./testing/engine-world.ts";
import { startDaemon, type FakeProcess } from "./testing/fakes.ts";

const world = useEngine();

describe("stop and restart", () => {
  test("the stop signal, then SIGKILL", async () => {
    await world.run("deaf", {}, { StopTimeout: 0, StopSignal: "USR1" });
    const process = world.machine.latest();
    await world.engine.containers.stop("deaf", { signal: undefined, timeoutSeconds: undefined });
    expect(process.signals).toEqual([10, 9]);
    expect((await world.engine.containers.inspect("deaf", false)).State.ExitCode).toBe(137);
    await expect(world.engine.containers.stop("deaf", { signal: undefined, timeoutSeconds: 0 })).rejects.toMatchObject({
      code: "not-modified",
    });
    await expect(world.engine.containers.kill("deaf", undefined)).rejects.toThrow(
      /^cannot kill container: deaf: container [0-9a-f]{64} is not running$/,
    );
  });

  test("a policy restarts a container that ended by itself, but not a container that the user stopped", async () => {
    await world.run("always", { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } });
    world.machine.latest().end(1);
    await until(async () => (await world.engine.containers.inspect("always", false)).RestartCount === 1);
    await until(async () => (await world.status("always")) === "running");
    await world.engine.containers.kill("always", "KILL");
    // sleep: longer than the policy's first delay
    await Bun.sleep(150);
    expect(await world.status("always")).toBe("exited");
    await world.engine.containers.start("always", undefined);
    expect((await world.engine.containers.inspect("always", false)).RestartCount).toBe(0);
  });

  test("on-failure gives up", async () => {
    await world.run("fail", { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 } });
    world.machine.latest().end(5);
    await until(
      async () =>
        (await world.engine.containers.inspect("fail", false)).RestartCount === 1 &&
        (await world.status("fail")) === "running",
    );
    world.machine.latest().end(5);
    await until(async () => (await world.status("fail")) === "exited");
    expect((await world.engine.containers.inspect("fail", false)).RestartCount).toBe(1);
  });

  test("a restart by the user begins the count of restarts anew", async () => {
    await world.run("counts", { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 } });
    world.machine.latest().end(1);
    const count = async (): Promise<number> => (await world.engine.containers.inspect("counts", false)).RestartCount;
    await until(async () => (await world.status("counts")) === "running" && (await count()) === 1);
    await world.engine.containers.restart("counts", { signal: undefined, timeoutSeconds: 0 });
    expect(await count()).toBe(0);
  });

  test("a restart during a start starts it again after that start", async () => {
    await world.engine.containers.create("one", undefined, request());
    const launching = { reached: deferred<void>(), goOn: deferred<void>() };
    world.machine.launching = launching;
    const start = world.engine.containers.start("one", undefined);
    await launching.reached.promise;
    const restart = world.engine.containers.restart("one", { signal: undefined, timeoutSeconds: 0 });
    launching.goOn.resolve();
    await Promise.all([start, restart]);
    expect(await world.actions()).toEqual(["create", "start", "kill", "die", "stop", "start", "restart"]);
  });

  test("restart with --rm keeps the container", async () => {
    await world.run("keep", { AutoRemove: true });
    await world.engine.containers.restart("keep", { signal: undefined, timeoutSeconds: 0 });
    expect(await world.status("keep")).toBe("running");
    expect(await world.actions()).toEqual(["create", "start", "kill", "die", "stop", "start", "restart"]);
  });

  describe("two restarts at once with --rm", () => {
    const soon = { signal: undefined, timeoutSeconds: 0 };

    test("both succeed, and the container is removed at its next end", async () => {
      await world.run("twice", { AutoRemove: true });
      const launching = { reached: deferred<void>(), goOn: deferred<void>() };
      world.machine.launching = launching;
      const first = world.engine.containers.restart("twice", soon);
      await launching.reached.promise;
      const second = world.engine.containers.restart("twice", soon);
      launching.goOn.resolve();
      await Promise.all([first, second]);
      expect(await world.status("twice")).toBe("running");
      world.machine.latest().end(0);
      await until(() => world.machine.snapshots.keys.size === 0);
    });

    test("when one fails, the container stays while the other stops it", async () => {
      await world.run("twice", { AutoRemove: true });
      const process = world.machine.latest();
      process.onSignal = () => undefined;
      const slow = world.engine.containers.restart("twice", { signal: undefined, timeoutSeconds: -1 });
      await until(() => process.signals.length === 1);
      world.machine.faults.failAlways("supervisor.signal", new Error("not now"));
      world.machine.faults.failAlways("cgroup.kill", new Error("nor this"));
      await expect(world.engine.containers.restart("twice", soon)).rejects.toThrow("nor this");
      world.machine.faults.clear();
      process.end(0);
      await slow;
      expect(await world.status("twice")).toBe("running");
    });

    test("when the last of them fails after the end, the container is removed as --rm says", async () => {
      await world.run("twice", { AutoRemove: true });
      const full = new EngineError("resource-exhausted", "database: disk I/O error: is the disk full?");
      world.machine.failWrites = (sql) => (sql.startsWith("UPDATE") ? full : undefined);
      await expect(world.engine.containers.restart("twice", soon)).rejects.toThrow(full.message);
      world.machine.failWrites = undefined;
      await until(() => world.machine.snapshots.keys.size === 0);
      expect(await world.engine.containers.list({ all: true, limit: undefined, size: false, filters: {} })).toEqual([]);
    });
  });

  test("pause rejects other operations that must wait", async () => {
    await world.run("tick");
    await world.engine.containers.pause("tick");
    await expect(world.engine.containers.pause("tick")).rejects.toThrow("is already paused");
    await expect(world.engine.containers.start("tick", undefined)).rejects.toThrow(
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
    await expect(world.engine.execs.create("tick", body)).rejects.toThrow(
      /^Container tick is paused, unpause the container before exec$/,
    );
    const streams = { stdin: false, stdout: true, stderr: true, logs: false, stream: true, detachKeys: undefined };
    await expect(world.engine.containers.attach("tick", streams, new AbortController().signal)).rejects.toThrow(
      /^container [0-9a-f]{64} is paused, unpause the container before attach$/,
    );
    await expect(world.engine.containers.remove("tick", { volumes: false, force: false, link: false })).rejects.toThrow(
      "container is paused and must be unpaused first",
    );
    await world.engine.containers.unpause("tick");
    expect(await world.status("tick")).toBe("running");
  });
});

describe("when nothing goes on", () => {
  /** Waits of the daemon are short. */
  beforeEach(async () => {
    await world.engine.shutdown();
    world.machine.hurry();
    world.engine = await startDaemon(world.machine, world.root);
  });

  test("a kill whose process does not end kills the whole cgroup, and fails when that does not help", async () => {
    await world.run("deaf");
    const process = world.machine.latest();
    process.onSignal = () => undefined;
    world.machine.faults.forget();
    await world.engine.containers.kill("deaf", undefined);
    expect(world.machine.faults.calls.map(({ name }) => name)).toContain("cgroup.kill");
    expect(await world.status("deaf")).toBe("exited");

    await world.run("undead");
    const undead = world.machine.latest();
    undead.onSignal = () => undefined;
    const end = undead.end.bind(undead);
    undead.end = () => undefined;
    await expect(world.engine.containers.kill("undead", undefined)).rejects.toThrow(
      "tried to kill container, but did not receive an exit event",
    );
    expect(await world.status("undead")).toBe("running");
    end(0);
  });

  test.each(["stop", "kill", "restart", "remove"] as const)("a %s does not wait for ever for a start", async (verb) => {
    await world.engine.containers.create("one", undefined, request());
    const hang = world.machine.faults.hangNext("stem.launch");
    const start = world.engine.containers.start("one", undefined);
    await hang.reached;
    const { containers } = world.engine;
    const soon = { signal: undefined, timeoutSeconds: 0 };
    const calls = {
      stop: () => containers.stop("one", soon),
      kill: () => containers.kill("one", undefined),
      restart: () => containers.restart("one", soon),
      remove: () => containers.remove("one", { volumes: false, force: true, link: false }),
    };
    await expect(calls[verb]()).rejects.toMatchObject({ code: "timeout" });
    hang.goOn();
    await start;
    expect(await world.status("one")).toBe("running");
  });
});

test("a removal that is not forced leaves a container that is being started", async () => {
  await world.engine.containers.create("one", undefined, request());
  const hang = world.machine.faults.hangNext("stem.launch");
  const start = world.engine.containers.start("one", undefined);
  await hang.reached;
  const removal = world.engine.containers.remove("one", { volumes: false, force: false, link: false });
  removal.catch(() => undefined);
  hang.goOn();
  await start;
  await expect(removal).rejects.toMatchObject({ code: "conflict" });
  expect(await world.status("one")).toBe("running");
});

/** A container that its policy is starting again now: `goOn` lets the launch happen. */
async function restarting(name: string): Promise<{ goOn: () => void }> {
  await world.run(name, { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } });
  const launching = { reached: deferred<void>(), goOn: deferred<void>() };
  world.machine.launching = launching;
  world.machine.latest().end(1);
  await launching.reached.promise;
  return { goOn: () => launching.goOn.resolve() };
}

test("a forced removal removes a container that its policy is starting", async () => {
  const { goOn } = await restarting("again");
  const removal = world.engine.containers.remove("again", { volumes: false, force: true, link: false });
  goOn();
  await removal;
  world.expectClean();
});

test("a forced removal waits for the disk once; an end of its own before the removal waits for its row", async () => {
  const waits: string[] = [];
  world.machine.failWrites = (sql) => {
    if (!world.machine.isRelaxed) waits.push(sql.split(" ")[0]!);
    return undefined;
  };
  await world.run("removed");
  await world.run("ends");
  waits.length = 0;
  await world.engine.containers.remove("removed", { volumes: false, force: true, link: false });
  expect(waits.splice(0)).toEqual(["DELETE"]);
  world.machine.latest().end(3);
  await world.engine.containers.wait("ends", "not-running", never).then(({ result }) => result);
  expect(waits.splice(0)).toEqual(["UPDATE"]);
  await world.engine.containers.remove("ends", { volumes: false, force: true, link: false });
  world.expectClean();
});

describe("a graceful stop", () => {
  test("when one container cannot be ended, the others still end, and the rest is closed", async () => {
    await world.run("deaf");
    const deaf = world.machine.latest();
    deaf.onSignal = () => undefined;
    await world.run("slow");
    const slow = world.machine.latest();
    slow.onSignal = () => undefined;
    world.machine.faults.failNext("cgroup.kill", new EngineError("timeout", "a process of it does not end"));
    world.machine.faults.forget();
    await world.engine.shutdown();
    expect([deaf, slow].filter(({ ended }) => ended !== undefined)).toHaveLength(1);
    expect(world.machine.faults.calls.map(({ name }) => name)).toContain("networks.stop");
    world.engine = await startDaemon(world.machine, world.root);
  });

  test("waits for a start by a policy and stops the started container", async () => {
    const { goOn } = await restarting("again");
    const process = (): FakeProcess => world.machine.latest();
    const ended = world.engine.shutdown();
    goOn();
    await ended;
    expect(process().ended?.code).toBe(143);
    expect(await world.status("again")).toBe("exited");
    world.machine.launching = undefined;
    world.engine = await startDaemon(world.machine, world.root);
    await until(async () => (await world.status("again")) === "running");
  });

  test("stops containers, and policies do not count that as a stop by the user", async () => {
    await world.run("one", { RestartPolicy: { Name: "unless-stopped", MaximumRetryCount: 0 } });
    await world.engine.shutdown();
    expect(world.machine.latest().signals).toEqual([15]);
    world.engine = await startDaemon(world.machine, world.root);
    await until(async () => (await world.status("one")) === "running");
  });

  test("with live restore they keep running", async () => {
    await world.engine.shutdown();
    world.engine = await startDaemon(world.machine, world.root, { liveRestore: true });
    await world.run("one");
    await world.engine.shutdown();
    expect(world.machine.latest().signals).toEqual([]);
    world.engine = await startDaemon(world.machine, world.root);
    expect(await world.status("one")).toBe("running");
  });
});
