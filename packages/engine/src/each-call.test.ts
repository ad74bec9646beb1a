/**
 * Every call that create, start, stop, exec, an end, recovery and remove make fails once, and hangs once. In each case: everything that was
 * made is undone or known, the engine continues to work, and the container can be removed.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "@fathom/base";
import { StepFailure } from "@fathom/containers";
import { LaunchFailure } from "@fathom/runtime";
import type { ContainerCreateRequest, ExecCreateRequest } from "@fathom/spec";
import { FakeMachine, removeTree, startDaemon, type TestEngine } from "./testing/fakes.ts";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";

const request: ContainerCreateRequest = {
  ...emptyContainerConfig,
  Image: "busybox",
  // Volumes with and without a name, a mounted image, a /dev/shm of the daemon: everything that a create and a start can make is made.
  Volumes: { "/anonymous": {} },
  HostConfig: {
    ...emptyHostConfig,
    Binds: ["data:/data"],
    Mounts: [{ Type: "image", Source: "busybox", Target: "/image" }],
    IpcMode: "shareable",
  },
  NetworkingConfig: { EndpointsConfig: {} },
};
const execRequest: ExecCreateRequest = {
  Cmd: ["true"],
  User: "root",
  Privileged: false,
  Tty: false,
  DetachKeys: "",
  AttachStdin: false,
  AttachStdout: true,
  AttachStderr: true,
  Env: null,
  WorkingDir: "",
};
const never = new AbortController().signal;
const removal = { volumes: true, force: true, link: false };

/** A daemon on a machine of its own. */
class World implements AsyncDisposable {
  readonly machine = new FakeMachine();
  readonly root = mkdtempSync(join(tmpdir(), "fathom-each-call-"));
  engine!: TestEngine;
  /** A client that attached to "one" before its start, and has no answer yet. */
  clientWaits = false;
  /** How many containers run beside "one". */
  others = 0;

  static async open(): Promise<World> {
    const world = new World();
    world.engine = await startDaemon(world.machine, world.root);
    return world;
  }
  async status(name: string): Promise<string> {
    return (await this.engine.containers.inspect(name, false)).State.Status;
  }
  async until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
    for (const deadline = Date.now() + 5000; Date.now() < deadline; await Bun.sleep(1)) if (await condition()) return;
    throw new Error(`waited in vain: ${what}`);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.machine.faults.clear();
    await this.engine.shutdown();
    removeTree(this.root);
  }
}

const planned = "fails, as the test planned";

/** The step in an error. */
function stepIn(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof LaunchFailure) return at.stage;
    if (at instanceof StepFailure) return at.step;
  }
  return undefined;
}

/** How a failed call becomes known: by the step in the caller's error, or in a line of the log. */
function toldBy(error: unknown, logged: readonly string[]): string {
  if (error !== undefined) return `error: ${stepIn(error) ?? messageOf(error)}`;
  const lines = logged
    .filter((line) => line.includes(planned))
    .map((line) => JSON.parse(line) as { msg: string; step?: string; effect?: string });
  return [
    ...new Set(lines.map(({ msg, step, effect }) => `log: ${step ?? effect ?? msg.replaceAll(/[0-9a-f]{64}/g, "ID")}`)),
  ].join("; ");
}

interface Action {
  /** Preparation without faults. */
  readonly before: (world: World) => Promise<void>;
  readonly act: (world: World) => Promise<unknown>;
  /** False when nothing else can be asked of the daemon meanwhile, because it does not listen yet. */
  readonly hangs?: false;
}

const create = async ({ engine }: World): Promise<void> =>
  void (await engine.containers.create("one", undefined, request));
const plain: ContainerCreateRequest = {
  ...emptyContainerConfig,
  Image: "busybox",
  HostConfig: emptyHostConfig,
  NetworkingConfig: { EndpointsConfig: {} },
};
/** "one" will join the pid namespace of a container that runs, and a client waits for its start. */
const createJoined = async (world: World): Promise<void> => {
  const { engine, machine } = world;
  machine.hasIdentities = true;
  await engine.containers.create("joined", undefined, plain);
  await engine.containers.start("joined", undefined);
  world.others = 1;
  await engine.containers.create("one", undefined, {
    ...request,
    HostConfig: { ...request.HostConfig, PidMode: "container:joined" },
  });
  const streams = { stdin: false, stdout: true, stderr: true, logs: false, stream: true, detachKeys: undefined };
  const { stream } = await engine.containers.attach("one", streams, never);
  world.clientWaits = true;
  void stream?.then((attachment) => {
    world.clientWaits = false;
    // The client closes it.
    if (attachment !== undefined) machine.openFds--;
  });
};
const start = ({ engine }: World): Promise<void> => engine.containers.start("one", undefined);
const createAndStart = async (world: World): Promise<void> => {
  await create(world);
  await start(world);
};

/** Starts a daemon after a kill of the previous one. If the start fails, it is tried again, as systemd does. */
async function startAgain(world: World): Promise<void> {
  try {
    world.engine = await startDaemon(world.machine, world.root);
  } catch (error) {
    world.engine = await startDaemon(world.machine, world.root);
    throw error;
  }
}

const actions: Readonly<Record<string, Action>> = {
  create: { before: async () => undefined, act: create },
  start: { before: create, act: start },
  "start with a client that waits, in a joined namespace": { before: createJoined, act: start },
  stop: {
    before: createAndStart,
    act: ({ engine }) => engine.containers.stop("one", { signal: undefined, timeoutSeconds: 0 }),
  },
  exec: {
    before: createAndStart,
    act: async ({ engine }) => {
      const { Id } = await engine.execs.create("one", execRequest);
      await engine.execs.start(Id, { detach: true, consoleSize: undefined }, never);
    },
  },
  exit: {
    before: createAndStart,
    act: async (world) => {
      const { result } = await world.engine.containers.wait("one", "next-exit", never);
      world.machine.latest().end(3);
      await result;
    },
  },
  recover: {
    before: async (world) => {
      await createAndStart(world);
      world.machine.latest().leave();
    },
    act: startAgain,
    hangs: false,
  },
  "recover after an end": {
    before: async (world) => {
      await createAndStart(world);
      world.machine.oomKills = 1;
      world.machine.latest().leave();
      world.machine.latest().end(7);
    },
    act: startAgain,
    hangs: false,
  },
  remove: { before: create, act: ({ engine }) => engine.containers.remove("one", removal) },
  "remove -f": { before: createAndStart, act: ({ engine }) => engine.containers.remove("one", removal) },
};

const written = "log: the state of a container cannot be written; it is tried again";
/** What an end frees, by the start's steps that made it. What an end cannot find out (whether memory was short) it leaves out. */
const ends = {
  "cgroup.oomKills": [""],
  "cgroup.kill": ["log: stem"],
  "cgroup.remove": ["log: stem"],
  "networks.find": ["log: network"],
  "sandbox.close": ["log: network"],
  "sys.umount": ["log: shared-memory", "log: images"],
};
/** What a removal could not remove is removed at the next daemon's start; a folder that cannot be moved away is removed in its place. */
const ofImages = "log: removing the layers of a mounted image failed";
const ofFiles = "log: removing the files of a container failed";
const removals = {
  "volumes.removeIfUnused": ["log: removing an anonymous volume failed"],
  "snapshots.remove": [ofImages, ofFiles],
  "sys.umount": [ofFiles, ofImages],
  "store.discard": [""],
};
/** Work that a daemon's start can do without. */
const starts = {
  "database.migrate": ["error: rows", "error: engine-id"],
  "database.all": ["error: rows"],
  "database.readObject": ["error: rows"],
  "database.get": ["error: engine-id"],
  "launcher.reconnect": ["log: finding a container's supervisor failed; log: a supervisor cannot be reached"],
  "networks.start": ["error: networks"],
  "cgroups.list": ["error: sweep"],
  "snapshots.list": ["error: sweep"],
};

const failedStarts = {
  "images.byId": ["error: files"],
  "snapshots.get": ["error: root", "error: images"],
  "sys.openOverlay": ["error: root", "error: images"],
  "sys.umount": ["error: images", "error: shared-memory"],
  "sys.moveMount": ["error: images"],
  "sys.mount": ["error: images", "error: shared-memory"],
  "oci.containerSpec": ["error: user"],
  "volumes.acquire": ["error: volumes"],
  "cgroups.create": ["error: stem"],
  "launcher.prepare": ["error: stem"],
  "cgroup.apply": ["error: limits"],
  "networks.find": ["error: files", "error: network"],
  "sandbox.connect": ["error: network"],
  "stem.launch": ["error: launch"],
  "database.relaxed": ["error: row"],
  "database.run": ["error: row"],
};

/** For each action and each of its calls: how its failure becomes known. The caller's error names the step; when there is no caller, the log does. */
const expected: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  create: {
    // Before anything is made: the check of the request.
    "images.lookup": [`error: images.lookup ${planned}`, "error: images"],
    "oci.validate": [`error: oci.validate ${planned}`],
    "networks.find": [`error: networks.find ${planned}`],
    "snapshots.prepare": ["error: layer", "error: images"],
    "database.run": ["error: row"],
    "volumes.ensure": ["error: volumes"],
    "files.kindOf": ["error: content"],
    "sys.openOverlay": ["error: content"],
    "sys.openat2": ["error: content"],
    "layers.get": ["log: the description of a container cannot be written"],
  },
  start: failedStarts,
  "start with a client that waits, in a joined namespace": { ...failedStarts, "sys.open": ["error: join"] },
  stop: {
    ...ends,
    "database.relaxed": [written],
    "database.run": [written],
    "supervisor.signal": ["log: a signal did not arrive"],
  },
  exec: { "oci.execProcess": ["error: user"], "supervisor.exec": ["error: launch"] },
  exit: { ...ends, "database.run": [written] },
  recover: {
    ...starts,
    "cgroups.open": ["log: looking whether a container is paused failed", "error: take-up"],
    "cgroup.frozen": ["log: looking whether a container is paused failed"],
    "volumes.acquire": ["log: a volume of a running container is missing"],
    "database.relaxed": [written],
    "database.run": [written],
  },
  "recover after an end": {
    ...starts,
    "cgroups.open": ["error: late-ends"],
    "cgroup.oomKills": [""],
    "cgroup.kill": ["log: removing a cgroup failed"],
    "cgroup.remove": ["log: removing a cgroup failed"],
    "sys.umount": ["log: unmounting what ID had failed", "log: clearing what a run of ID left failed"],
    "database.run": [written],
  },
  remove: { ...removals, "database.run": ["error: row"] },
  "remove -f": {
    ...ends,
    ...removals,
    "sys.umount": [...ends["sys.umount"], ...removals["sys.umount"]],
    "database.relaxed": [written],
    "database.run": [written, "error: row"],
    "supervisor.signal": ["log: a signal did not arrive"],
  },
};

/** The calls of an action without faults. */
async function callsOf({
  before,
  act,
}: Action): Promise<readonly { readonly name: string; readonly waits: boolean }[]> {
  await using world = await World.open();
  await before(world);
  world.machine.faults.forget();
  await act(world);
  return [...world.machine.faults.calls];
}

function outcome(promise: Promise<unknown>): { is: "under way" | "done" | "failed"; error: unknown } {
  const result: ReturnType<typeof outcome> = { is: "under way", error: undefined };
  promise.then(
    () => (result.is = "done"),
    (error: unknown) => Object.assign(result, { is: "failed", error }),
  );
  return result;
}

/** close always closes, whatever it returns (close(2)); the contract of the others says that they never fail. */
const cannotFail = new Set(["networks.sandbox", "sys.close", "supervisor.disconnect", "volumes.release"]);

/** What these could not remove is removed at the next daemon's start. */
const releases = new Set(["cgroup.kill", "cgroup.remove", "sandbox.close", "snapshots.remove", "sys.umount"]);

/** A volume that nobody named and that could not be removed stays, and harms nobody. */
const keepsVolume = new Set(["volumes.removeIfUnused"]);

function unnamedVolumes({ volumes }: FakeMachine): number {
  return [...volumes.keys()].filter((volume) => volume !== "data").length;
}

/** Directories of supervisors. */
function runDirectories({ root }: World): number {
  const containers = join(root, "containers");
  return readdirSync(containers).filter((id) => existsSync(join(containers, id, "run"))).length;
}

/** The engine's state of the container agrees with the machine; both may also have none. A call of `name` failed. */
async function expectTruth(world: World, name: string): Promise<void> {
  const { machine } = world;
  const runs = (): boolean =>
    [...machine.processes.values()].filter(({ ended }) => ended === undefined).length > world.others;
  let status = "";
  await world.until("the status is the truth", async () => {
    status = await world.status("one").catch(() => "gone");
    // Its volumes are gone and its row could not be deleted: another removal ends it.
    const halfRemoved = status === "removing" && name === "database.run";
    return (status === "running") === runs() && (status !== "removing" || halfRemoved);
  });
  if (releases.has(name)) return;
  const ofRun = status === "running" ? 1 : 0;
  const running = ofRun + world.others;
  await world.until(
    "nothing is held but by what runs",
    () =>
      machine.cgroups.size === running &&
      machine.endpoints.size === running &&
      machine.volumeHolds.size === 2 * ofRun &&
      machine.mounts.size === 2 * ofRun &&
      runDirectories(world) === running &&
      machine.openFds === 0,
  );
  if (!keepsVolume.has(name)) expect(unnamedVolumes(machine)).toBe(status === "gone" || status === "removing" ? 0 : 1);
  // Its own layer, and the mounted image's.
  expect(machine.snapshots.keys.size).toBe((status === "gone" ? 0 : 2) + world.others);
}

/** The container is removed, another one runs, and after the next daemon's start nothing is left of either. */
async function expectSound(world: World, name: string): Promise<void> {
  const { machine } = world;
  await expectTruth(world, name);
  if ((await world.status("one").catch(() => "gone")) !== "gone") await world.engine.containers.remove("one", removal);
  await world.until("the client has its answer", () => !world.clientWaits);
  if (world.others > 0) await world.engine.containers.remove("joined", removal);
  await world.engine.containers.create("two", undefined, request);
  await world.engine.containers.start("two", undefined);
  expect(await world.status("two")).toBe("running");
  await world.engine.containers.remove("two", removal);
  expect(machine.openFds).toBe(0);
  expect([[...machine.volumeHolds], [...machine.mounts]]).toEqual([[], []]);
  await world.engine.shutdown();
  for (const path of machine.cgroups) machine.emptyCgroups.add(path);
  world.engine = await startDaemon(machine, world.root);
  expect(await world.engine.containers.list({ all: true, limit: undefined, size: false, filters: {} })).toEqual([]);
  expect([...machine.processes.values()].filter(({ ended }) => ended === undefined)).toEqual([]);
  expect([[...machine.cgroups], [...machine.endpoints.keys()], [...machine.snapshots.keys]]).toEqual([[], [], []]);
  expect(readdirSync(join(world.root, "containers"))).toEqual([]);
  if (!keepsVolume.has(name)) expect(unnamedVolumes(machine)).toBe(0);
}

for (const [name, action] of Object.entries(actions))
  describe(name, () => {
    test("each call fails, and the error or the log names the step", async () => {
      const calls = await callsOf(action);
      const problems: string[] = [];
      const told = new Map<string, Set<string>>();
      expect(calls.length).toBeGreaterThan(0);
      for (const [index, call] of calls.entries()) {
        if (cannotFail.has(call.name)) continue;
        await using world = await World.open();
        await action.before(world);
        world.machine.faults.failNth(index + 1);
        const result = outcome(action.act(world));
        try {
          await world.until("an answer", () => result.is !== "under way");
          await world.until("the fault strikes", () => world.machine.faults.done);
          const known = told.get(call.name) ?? new Set();
          told.set(call.name, known.add(toldBy(result.error, world.machine.logged)));
          await expectSound(world, call.name);
        } catch (error) {
          problems.push(`${call.name} failed: ${messageOf(error)}`);
        }
      }
      expect(problems).toEqual([]);
      const shown: Record<string, readonly string[]> = Object.fromEntries(
        [...told].map(([call, ways]) => [call, [...ways]]),
      );
      expect(shown).toEqual(expected[name]!);
    });

    if (action.hangs !== false)
      test("each call hangs, and only this container waits", async () => {
        const problems: string[] = [];
        for (const [index, call] of (await callsOf(action)).entries()) {
          if (!call.waits) continue;
          for (const end of ["goOn", "fail"] as const) {
            if (end === "fail" && cannotFail.has(call.name)) continue;
            await using world = await World.open();
            await action.before(world);
            const hang = world.machine.faults.hangNth(index + 1);
            const result = outcome(action.act(world));
            try {
              await hang.reached;
              await world.engine.containers.create("other", undefined, request);
              await world.engine.containers.start("other", undefined);
              expect(await world.status("other")).toBe("running");
              await world.status("one").catch(() => "gone");
              await world.engine.containers.remove("other", removal);
              hang[end](new Error("it failed at last"));
              await world.until("an answer", () => result.is !== "under way");
              if (end === "goOn") expect(result.is).toBe("done");
              await expectSound(world, call.name);
            } catch (error) {
              problems.push(`${call.name} hung, then ${end}: ${messageOf(error)}`);
            }
          }
        }
        expect(problems).toEqual([]);
      });
  });

describe("a daemon's start", () => {
  /**
   * After a kill -9: a container that runs, one that ends before the next daemon, one whose removal had begun, and leftovers that belong to
   * nothing.
   */
  async function killed(): Promise<World> {
    const world = await World.open();
    const { machine, engine } = world;
    for (const name of ["runs", "ended", "going"]) {
      await engine.containers.create(name, undefined, {
        ...request,
        Volumes: name === "going" ? { "/anonymous": {} } : null,
      });
      if (name !== "going") await engine.containers.start(name, undefined);
    }
    machine.faults.hangNext("volumes.removeIfUnused");
    void engine.containers.remove("going", removal).catch(() => undefined);
    await world.until("the removal has begun", () => machine.faults.done);
    // The previous daemon must not see it.
    machine.latest().ended = { code: 3, signal: 0, finishedAt: new Date().toISOString() };
    machine.cgroups.add(`/fathom/${"e".repeat(64)}`);
    machine.emptyCgroups.add(`/fathom/${"e".repeat(64)}`);
    machine.snapshots.prepare("f".repeat(64), undefined, "container");
    return world;
  }
  /**
   * Without these calls no daemon can start; opening a cgroup means to know its path. A supervisor that is not found does not mean an end;
   * other tests cover that case.
   */
  const needed = /^(database|networks\.start|snapshots\.list|cgroups\.list|cgroups\.open|launcher\.reconnect)/;

  test("each call fails, and running containers are managed again", async () => {
    let calls: readonly string[];
    {
      await using world = await killed();
      world.machine.faults.forget();
      world.engine = await startDaemon(world.machine, world.root);
      calls = world.machine.faults.calls.map(({ name }) => name);
    }
    const problems: string[] = [];
    expect(calls.length).toBeGreaterThan(10);
    for (const [index, name] of calls.entries()) {
      if (cannotFail.has(name) || needed.test(name)) continue;
      await using world = await killed();
      world.machine.faults.failNth(index + 1);
      try {
        world.engine = await startDaemon(world.machine, world.root);
        expect(await world.status("runs")).toBe("running");
        expect(await world.status("ended")).toBe("exited");
        await world.engine.containers.remove("runs", removal);
        await world.engine.containers.remove("ended", removal);
      } catch (error) {
        problems.push(`${name} failed: ${messageOf(error)}`);
      }
    }
    expect(problems).toEqual([]);
  });
});
