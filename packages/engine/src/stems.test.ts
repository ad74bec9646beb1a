import { expect, test } from "bun:test";
import { silentLogger } from "@fathom/base";
import { defaultNamespaces, Stems } from "./stems.ts";
import { FakeMachine } from "./testing/fakes.ts";

test("a pool that could not be filled is filled once that works again", async () => {
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

test("a stem that is held for a container is given back when its plan cannot be made", async () => {
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
