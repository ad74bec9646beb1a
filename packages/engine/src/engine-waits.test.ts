/** Clients that wait, hang up, or come two at a time. */
import { describe, expect, test } from "bun:test";
import type { ExecCreateRequest } from "@fathom/spec";
import { renameSync, symlinkSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { deferred, EngineError, systemClock } from "@fathom/base";
import { never, request, until, useEngine } from "./testing/engine-world.ts";

const world = useEngine();

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
    await world.run("host");
    const { Id } = await world.engine.execs.create("host", request);
    await expect(world.engine.execs.start(Id, options, AbortSignal.abort(new Error("hung up")))).rejects.toThrow(
      "hung up",
    );
    expect(world.machine.latest().execs).toEqual([]);
    expect((await world.engine.execs.start(Id, options, never))?.fd).toBe(700);
  });

  test("a client gets its answer before the process starts", async () => {
    await world.run("host");
    const { Id } = await world.engine.execs.create("host", request);
    const hang = world.machine.faults.hangNext("supervisor.exec");
    let isAccepted = false;
    const started = world.engine.execs.start(Id, { ...options, accepted: () => void (isAccepted = true) }, never);
    await hang.reached;
    expect(isAccepted).toBe(true);
    hang.goOn();
    expect((await started)?.fd).toBe(700);
  });

  test("during its start leaves no descriptor", async () => {
    await world.run("host");
    const { Id } = await world.engine.execs.create("host", request);
    const gone = new AbortController();
    const before = world.machine.openFds;
    const started = world.engine.execs.start(Id, options, gone.signal);
    gone.abort();
    expect(await started).toBeUndefined();
    expect(world.machine.openFds).toBe(before);
    expect((await world.engine.execs.inspect(Id)).Running).toBe(true);
  });
});

describe("two at once", () => {
  test("a stop while the policy starts it ends the started process", async () => {
    await world.run("again", { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } });
    world.machine.launching = { reached: deferred(), goOn: deferred() };
    world.machine.latest().end(1);
    await world.machine.launching.reached.promise;
    const stopped = world.engine.containers.stop("again", { signal: undefined, timeoutSeconds: 1 });
    world.machine.launching.goOn.resolve();
    await stopped;
    expect(await world.status("again")).toBe("exited");
  });
});

describe("waits for ends", () => {
  /** It has ended, and its policy waits before the next try. */
  async function waitingForPolicy(name: string): Promise<void> {
    await world.run(name, { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } });
    // Each wait is twice as long as the previous one: the fourth is 800 ms.
    for (let count = 0; count < 4; count++) {
      const before = world.machine.processes.size;
      const process = world.machine.latest();
      process.end(3);
      await until(async () => (await world.status(name)) === "restarting");
      if (count < 3) await until(() => world.machine.latest() !== process || world.machine.processes.size > before);
      if (count < 3) await until(async () => (await world.status(name)) === "running");
    }
  }

  test("a wait for a container between two tries ends when a stop ends the policy", async () => {
    await waitingForPolicy("again");
    const { result } = await world.engine.containers.wait("again", "not-running", never);
    await world.engine.containers.stop("again", { signal: undefined, timeoutSeconds: 1 });
    expect(await world.status("again")).toBe("exited");
    expect(await result).toEqual({ StatusCode: 3 });
  });

  test("a wait for a container between two tries ends when its start fails for good", async () => {
    await world.run("once", { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 } });
    world.machine.failLaunch = new EngineError("internal", "no such luck");
    world.machine.latest().end(3);
    await until(async () => (await world.status("once")) === "restarting");
    const { result } = await world.engine.containers.wait("once", "not-running", never);
    await until(async () => (await world.status("once")) === "exited");
    world.machine.failLaunch = undefined;
    expect((await result).StatusCode).not.toBe(0);
  });

  test("a client that waits for an end learns of it also when the files of the run cannot be removed", async () => {
    const id = await world.run("kept");
    const { result } = await world.engine.containers.wait("kept", "next-exit", never);
    const directory = join(world.root, "containers", id);
    renameSync(directory, `${directory}.away`);
    symlinkSync(id, directory);
    world.machine.latest().end(4);
    expect(await result).toEqual({ StatusCode: 4 });
    unlinkSync(directory);
    renameSync(`${directory}.away`, directory);
  });

  test("a stop waits for the requested time, also when it is longer than the runtime's longest timer", async () => {
    await world.run("slow");
    world.machine.latest().onSignal = () => undefined;
    const stopped = world.engine.containers.stop("slow", { signal: undefined, timeoutSeconds: 3_000_000 });
    await until(() => world.machine.latest().signals.length > 0);
    // A timer that fires too early has fired by now.
    await systemClock.sleep(20);
    world.machine.latest().end(0);
    await stopped;
    expect(world.machine.latest().signals).toEqual([15]);
  });

  test("a client that hangs up while its container is being launched leaves no descriptor", async () => {
    await world.engine.containers.create("at", undefined, request());
    const gone = new AbortController();
    const attach = { stdin: true, stdout: true, stderr: true, logs: false, stream: true, detachKeys: undefined };
    const { stream } = await world.engine.containers.attach("at", attach, gone.signal);
    const before = world.machine.openFds;
    world.machine.launching = { reached: deferred(), goOn: deferred() };
    const started = world.engine.containers.start("at", undefined);
    await world.machine.launching.reached.promise;
    gone.abort();
    world.machine.launching.goOn.resolve();
    await started;
    world.machine.launching = undefined;
    expect(await stream).toBeUndefined();
    expect(world.machine.openFds).toBe(before);
  });

  test("an attach that fails later causes no unhandled error", async () => {
    await world.engine.containers.create("late", undefined, request());
    world.machine.launching = { reached: deferred(), goOn: deferred() };
    const started = world.engine.containers.start("late", undefined);
    await world.machine.launching.reached.promise;
    const attach = { stdin: false, stdout: true, stderr: true, logs: false, stream: true, detachKeys: undefined };
    world.machine.faults.failNext("supervisor.attach", new EngineError("unavailable", "no descriptor left"));
    // As for a client that still reads the log.
    const { stream } = await world.engine.containers.attach("late", attach, never);
    world.machine.launching.goOn.resolve();
    await started;
    world.machine.launching = undefined;
    await systemClock.sleep(0);
    await expect(stream!).rejects.toThrow("no descriptor left");
  });
});
