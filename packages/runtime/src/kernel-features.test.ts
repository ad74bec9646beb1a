import { expect, test } from "bun:test";
import { EngineError } from "@fathom/base";
import { errnoNumber, createSys, probeKernel, SysError, helperExecutable } from "@fathom/sys";
import { judgeKernel, kernelFeatures, oldestKernel, requireKernel, tryCgroupFeatures } from "./kernel-features.ts";

const ENOSYS = errnoNumber("ENOSYS");
const EPERM = errnoNumber("EPERM");
/** Every feature works except the named ones. */
const without = (errno: number, ...names: readonly string[]): Map<string, number> =>
  new Map(kernelFeatures.map(({ name }) => [name, names.includes(name) ? errno : 0]));

function refusal(tries: ReadonlyMap<string, number>): string | undefined {
  try {
    requireKernel(judgeKernel("5.10.0-test", tries));
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return (error as EngineError).message;
  }
}

test("a kernel with all features is accepted, and nothing uses its second way", () => {
  const report = judgeKernel("6.18.0", without(0));
  expect(() => requireKernel(report)).not.toThrow();
  expect(report.features.every(({ state }) => state.kind === "there")).toBe(true);
});

test.each(kernelFeatures.filter(({ fallback }) => fallback === undefined))(
  "without $name no daemon starts, and the error names it",
  ({ name, call, since, purpose }) => {
    const text = refusal(without(ENOSYS, name));
    expect(text).toContain("5.10.0-test");
    expect(text).toContain(`${call} (Linux ${since} and newer`);
    expect(text).toContain(`for ${purpose}): ENOSYS`);
    expect(text).toContain("use a kernel of 5.15 or newer");
    // The error names only this one.
    expect(text!.split("Linux ").length).toBe(2);
  },
);

test.each(kernelFeatures.filter(({ fallback }) => fallback !== undefined))(
  "without $name the engine uses its second way",
  ({ name, fallback }) => {
    const report = judgeKernel("5.10.0-test", without(ENOSYS, name));
    expect(() => requireKernel(report)).not.toThrow();
    const others = report.features.filter(({ feature }) => feature.name !== name);
    expect(others.every(({ state }) => state.kind === "there")).toBe(true);
    expect(report.features.find(({ feature }) => feature.name === name)?.state).toEqual({
      kind: "falls-back",
      errno: "ENOSYS",
      fallback: fallback!,
    });
  },
);

test("several missing features are all named; a rejected call does not depend on the kernel's age", () => {
  const text = refusal(without(ENOSYS, "mount_setattr", "close_range"));
  expect(text).toContain("mount_setattr (Linux 5.12");
  expect(text).toContain("close_range(CLOSE_RANGE_CLOEXEC) (Linux 5.11");
  expect(refusal(without(EPERM, "mount-namespace"))).toContain("run the daemon with all capabilities");
});

test("no required feature is newer than the oldest supported kernel", () => {
  const order = (version: string): number => {
    const [major, minor] = version.split(".").map(Number);
    return major! * 1000 + minor!;
  };
  const young = kernelFeatures.filter(
    ({ since, fallback }) => fallback === undefined && order(since) > order(oldestKernel),
  );
  expect(young).toEqual([]);
});

test("fathom-init tries exactly the features of the table, except those that need cgroups", async () => {
  const sys = createSys();
  const tries = await probeKernel({ executable: () => helperExecutable(sys) });
  const elsewhere = new Set(["cgroup-kill", "device-program"]);
  expect([...tries.keys()].sort()).toEqual(
    kernelFeatures
      .map(({ name }) => name)
      .filter((name) => !elsewhere.has(name))
      .sort(),
  );
});

test("a feature that nothing here uses is neither present nor missing", () => {
  const report = judgeKernel("6.1.0", new Map());
  expect(() => requireKernel(report)).not.toThrow();
  expect(report.features.every(({ state }) => state.kind === "not-used")).toBe(true);
});

test("cgroups: v1 needs neither feature, v2 is checked", () => {
  const fs = { directories: () => ["a"], exists: (path: string) => path === "/cg/a/cgroup.kill" };
  const works = { bpfLoadDeviceProgram: () => 9, close: () => undefined };
  const fails = {
    bpfLoadDeviceProgram: (): number => {
      throw new SysError("bpf", ENOSYS);
    },
    close: () => undefined,
  };
  const first = { version: 1, mountPoint: "/v1", controllers: ["devices"] } as const;
  const second = { version: 2, mountPoint: "/cg", controllers: ["memory"] } as const;
  expect(tryCgroupFeatures({ version: "v1", hierarchies: [first] }, fails, fs)).toEqual(new Map());
  expect(tryCgroupFeatures({ version: "hybrid", hierarchies: [first, second] }, fails, fs)).toEqual(
    new Map([["cgroup-kill", 0]]),
  );
  expect(tryCgroupFeatures({ version: "v2", hierarchies: [second] }, works, fs)).toEqual(
    new Map([
      ["cgroup-kill", 0],
      ["device-program", 0],
    ]),
  );
  expect(tryCgroupFeatures({ version: "v2", hierarchies: [second] }, fails, { ...fs, exists: () => false })).toEqual(
    new Map([
      ["cgroup-kill", 2],
      ["device-program", ENOSYS],
    ]),
  );
});
