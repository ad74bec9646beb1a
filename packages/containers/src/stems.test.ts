import { expect, test } from "bun:test";
import { silentLogger } from "@fathom/base";
import { defaultNamespaces, discard, Stems } from "./stems.ts";
import { FakeMachine } from "./testing/fake-machine.ts";

test("a pool that could not be filled is filled when that works again", async () => {
  const machine = new FakeMachine();
  let left = 12;
  const launcher = machine.launcher();
  const stems = new Stems({
    launcher: {
      ...launcher,
      prepare: async (stem) => {
        if (left-- > 0) throw new Error("too many open files");
        return launcher.prepare(stem);
      },
    },
    cgroups: machine.cgroupsApi(),
    logger: silentLogger,
    cgroupParent: "/fathom",
    size: 2,
    namespaces: defaultNamespaces("v2"),
    firstRetryMs: 0.01,
  });
  stems.fill();
  while (stems.ids().length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  expect([...machine.cgroups].length).toBe(2);
  await stems.close();
  expect([...machine.cgroups]).toEqual([]);
});

test("a stem that is held for a container is discarded when its plan cannot be made", async () => {
  const machine = new FakeMachine();
  const stems = new Stems({
    launcher: machine.launcher(),
    cgroups: machine.cgroupsApi(),
    logger: silentLogger,
    cgroupParent: "/fathom",
    size: 1,
    namespaces: defaultNamespaces("v2"),
  });
  stems.fill();
  while (stems.ids().length < 1) await new Promise((resolve) => setTimeout(resolve, 1));
  const id = stems.newId();
  const path = stems.cgroupPath("", id);
  const refused = stems.claim(id, path, () => {
    throw new Error("no plan");
  });
  await expect(refused).rejects.toThrow("no plan");
  expect(machine.cgroups.has(path)).toBe(false);
  await stems.close();
  expect([...machine.cgroups]).toEqual([]);
});

/** A pool whose stems the test can end. */
function mortalStems(machine: FakeMachine, size: number): { stems: Stems; end: (pid: number) => void; pids: number[] } {
  const launcher = machine.launcher();
  const dead = new Set<number>();
  const pids: number[] = [];
  const stems = new Stems({
    launcher: {
      ...launcher,
      prepare: async (stem) => {
        const prepared = await launcher.prepare(stem);
        const { pid } = prepared;
        pids.push(pid);
        return {
          pid,
          identity: undefined,
          networkNamespaceFd: prepared.networkNamespaceFd,
          get usable() {
            return !dead.has(pid);
          },
          launch: (request) => prepared.launch(request),
          launchDirect: (request) => prepared.launchDirect(request),
          discard: () => prepared.discard(),
        };
      },
    },
    cgroups: machine.cgroupsApi(),
    logger: silentLogger,
    cgroupParent: "/fathom",
    size,
    namespaces: defaultNamespaces("v2"),
  });
  return { stems, pids, end: (pid) => dead.add(pid) };
}

test("containers do not get stems that ended while they waited", async () => {
  const machine = new FakeMachine();
  const { stems, pids, end } = mortalStems(machine, 2);
  stems.fill();
  while (stems.ids().length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  const dead = [...pids];
  for (const pid of dead) end(pid);
  const claimed = new Set<number>();
  for (let count = 0; count < 4; count++) {
    const id = stems.newId();
    const stem = await stems.claim(id, stems.cgroupPath("", id), (cgroup) => ({
      newNamespaces: defaultNamespaces("v2"),
      cgroupProcs: cgroup.procsFiles,
    }));
    claimed.add(stem.prepared.pid);
    await discard(stem);
  }
  expect(dead.filter((pid) => claimed.has(pid))).toEqual([]);
  await stems.close();
  expect([...machine.cgroups]).toEqual([]);
});

test("when a stem ends between create and start, the start makes a new one, in a cgroup that exists", async () => {
  const machine = new FakeMachine();
  const { stems, pids, end } = mortalStems(machine, 1);
  stems.fill();
  while (stems.ids().length < 1) await new Promise((resolve) => setTimeout(resolve, 1));
  const id = stems.newId();
  end(pids[0]!);
  const path = stems.cgroupPath("", id);
  const stem = await stems.claim(id, path, (cgroup) => ({
    newNamespaces: defaultNamespaces("v2"),
    cgroupProcs: cgroup.procsFiles,
  }));
  expect(stem.prepared.pid).not.toBe(pids[0]!);
  expect(machine.cgroups.has(path)).toBe(true);
  await discard(stem);
  await stems.close();
  expect([...machine.cgroups]).toEqual([]);
});

test("a start that comes while the container's held stem is discarded waits for the end of that", async () => {
  const machine = new FakeMachine();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const launcher = machine.launcher();
  const cgroups = machine.cgroupsApi();
  const stems = new Stems({
    launcher: { ...launcher, prepare: async (stem) => ({ ...(await launcher.prepare(stem)), discard: () => ended }) },
    cgroups: {
      ...cgroups,
      create(path) {
        if (machine.cgroups.has(path)) throw new Error(`the cgroup ${path} exists`);
        return cgroups.create(path);
      },
    },
    logger: silentLogger,
    cgroupParent: "/fathom",
    size: 1,
    namespaces: defaultNamespaces("v2"),
  });
  stems.fill();
  while (stems.ids().length < 1) await new Promise((resolve) => setTimeout(resolve, 1));
  const id = stems.newId();
  const path = stems.cgroupPath("", id);
  stems.drop(id);
  const claim = stems.claim(id, path, (cgroup) => ({
    newNamespaces: defaultNamespaces("v2"),
    cgroupProcs: cgroup.procsFiles,
  }));
  // At this moment nobody awaits a rejection yet.
  claim.catch(() => undefined);
  await new Promise((resolve) => setImmediate(resolve));
  expect(machine.cgroups.has(path)).toBe(true);
  end();
  expect((await claim).cgroup.path).toBe(path);
  expect(machine.cgroups.has(path)).toBe(true);
  await stems.close();
});
