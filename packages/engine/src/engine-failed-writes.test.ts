/** A disk or a database that accepts no rows for a while. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { EngineError } from "@fathom/base";
import { never, request, until, useEngine } from "./testing/engine-world.ts";
import { startDaemon } from "./testing/fakes.ts";

const world = useEngine();

describe("a database that cannot write a row", () => {
  const full = new EngineError("resource-exhausted", "database or disk is full");

  test("a start leaves no running process", async () => {
    await world.engine.containers.create("one", undefined, request({ Binds: ["data:/data"] }));
    world.machine.onLaunch = () => (world.machine.failWrites = full);
    await expect(world.engine.containers.start("one", undefined)).rejects.toThrow("disk is full");
    expect(world.machine.latest().ended).toBeDefined();
    expect([world.machine.cgroups.size, world.machine.endpoints.size]).toEqual([0, 0]);
    expect(await world.actions(0n, "volume")).toEqual(["mount", "unmount"]);
    world.machine.failWrites = undefined;
    world.machine.onLaunch = () => undefined;
    expect(await world.status("one")).toBe("created");
    await world.engine.containers.start("one", undefined);
    expect(await world.status("one")).toBe("running");
  });

  test("the end of a run is written as soon as the database works again", async () => {
    await world.run("one");
    world.machine.failWrites = full;
    world.machine.latest().end(7);
    await until(() => world.machine.endpoints.size === 0);
    await until(async () => (await world.status("one")) === "exited");
    world.machine.failWrites = undefined;
    await until(async () => (await world.status("one")) === "exited");
    expect((await world.engine.containers.inspect("one", false)).State.ExitCode).toBe(7);
  });

  test("a daemon that ends before that leaves it to the next", async () => {
    await world.run("one");
    world.machine.failWrites = full;
    world.machine.latest().end(7);
    await until(() => world.machine.endpoints.size === 0);
    await world.engine.shutdown();
    world.machine.failWrites = undefined;
    world.engine = await startDaemon(world.machine, world.root);
    expect(await world.status("one")).toBe("exited");
    expect((await world.engine.containers.inspect("one", false)).State.ExitCode).toBe(7);
  });
});

describe("a full disk", () => {
  test("an end is known at once, and written when there is room", async () => {
    await world.run("one");
    const directory = world.machine.latest().request.directory;
    const { result } = await world.engine.containers.wait("one", "not-running", never);
    world.machine.failWrites = new EngineError("resource-exhausted", "the disk is full");
    world.machine.latest().end(4);
    expect(await result).toEqual({ StatusCode: 4 });
    const { State } = await world.engine.containers.inspect("one", false);
    expect([State.Status, State.ExitCode]).toEqual(["exited", 4]);
    // Only the supervisor's file has the data.
    expect(existsSync(directory)).toBe(true);
    await expect(world.engine.containers.start("one", undefined)).rejects.toThrow("full");
    const row = (): string => String(world.machine.database.get("SELECT changing FROM containers")?.["changing"]);
    expect(row()).toContain('"running"');
    world.machine.failWrites = undefined;
    await until(() => row().includes('"exited"'));
    await until(() => !existsSync(directory));
  });

  test("a stop stops", async () => {
    await world.run("one");
    world.machine.failWrites = new EngineError("resource-exhausted", "the disk is full");
    await world.engine.containers.stop("one", { signal: undefined, timeoutSeconds: 0 });
    expect(await world.status("one")).toBe("exited");
    world.machine.failWrites = undefined;
  });
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

  test("a failed removal wakes the clients that wait for it, and can be repeated", async () => {
    await world.run("rm", { AutoRemove: true });
    const { result } = await world.engine.containers.wait("rm", "removed", never);
    world.machine.failWrites = (sql) => (sql.startsWith("DELETE") ? full : undefined);
    world.machine.latest().end(7);
    expect(await result).toEqual({ StatusCode: 7, Error: { Message: full.message } });
    world.machine.failWrites = undefined;
    await world.engine.containers.remove("rm", { volumes: false, force: false, link: false });
    world.expectClean();
  });

  test.each(["resource-exhausted", "data-loss", "unavailable", "internal"] as const)(
    "an end is known when its row cannot be written (%s)",
    async (code) => {
      await world.run("ends");
      const { result } = await world.engine.containers.wait("ends", "next-exit", never);
      world.machine.failWrites = new EngineError(code, "the row cannot be written");
      world.machine.latest().end(4);
      expect(await result).toEqual({ StatusCode: 4 });
      expect(await world.status("ends")).toBe("exited");
      world.machine.failWrites = undefined;
      await until(() =>
        String(world.machine.database.get("SELECT changing FROM containers")?.["changing"]).includes(
          '"status":"exited"',
        ),
      );
    },
  );

  test("health checks continue when their results cannot be written", async () => {
    world.machine.failWrites = (_, parameters) =>
      /"failingStreak":[1-9]/.test(String(parameters[0])) ? full : undefined;
    world.machine.faults.failAlways("supervisor.exec");
    await world.run("checked", {}, { Healthcheck: check });
    const streak = async (): Promise<number> =>
      (await world.engine.containers.inspect("checked", false)).State.Health?.FailingStreak ?? 0;
    await until(async () => (await streak()) >= 2);
    world.machine.failWrites = undefined;
    const before = await streak();
    await until(async () => (await streak()) > before);
    expect(await world.status("checked")).toBe("running");
  });

  test("when the row with new limits cannot be written, the old limits stay", async () => {
    await world.run("limited", { Memory: 64 * 2 ** 20 });
    world.machine.failWrites = full;
    await expect(world.engine.containers.update("limited", { Memory: 32 * 2 ** 20 } as never)).rejects.toThrow(
      "disk full",
    );
    expect(world.machine.applied).toHaveLength(3);
    expect((await world.engine.containers.inspect("limited", false)).HostConfig.Memory).toBe(64 * 2 ** 20);
  });

  test("a pause whose row cannot be written does not happen", async () => {
    await world.run("paused");
    world.machine.failWrites = full;
    await expect(world.engine.containers.pause("paused")).rejects.toThrow("disk full");
    expect(await world.status("paused")).toBe("running");
    expect([...world.machine.frozen]).toEqual([]);
  });
});
