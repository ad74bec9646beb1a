/** Unusual namespaces: cgroup, user, time, joined ones, none; cgroups; chroot instead of pivot_root. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, readlinkSync } from "node:fs";
import { randomId } from "@fathom/base";
import { openCgroups, type LaunchPlan, type Supervisor } from "@fathom/runtime";
import {
  bothOutputs,
  execOperation,
  launcher,
  plan,
  Reader,
  Rig,
  rootOperations,
  run,
  start,
  sys,
  unframe,
  unlogged,
  fileLog,
} from "./rig.ts";
import { runName } from "../run-name.ts";
import { until } from "@fathom/base/testing";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

async function execOutput(
  supervisor: Supervisor,
  argv: readonly string[],
  cgroupProcs: readonly string[] = [],
): Promise<string> {
  const handle = await supervisor.exec({
    execId: randomId(),
    plan: { version: 1, stem: { newNamespaces: [], cgroupProcs }, operations: [execOperation(argv)], terminal: null },
    openStdin: false,
    attach: [bothOutputs],
  });
  return unframe(await new Reader(handle.attachments[0]!.fd).ended).stdout;
}

async function end(supervisor: Supervisor): Promise<void> {
  await supervisor.signal(9);
  await supervisor.exit;
}

async function launchPlan(
  whole: LaunchPlan,
): Promise<{ supervisor: Supervisor; output: Promise<Buffer>; reader: Reader }> {
  const prepared = await launcher.prepare(whole.stem);
  const directory = rig.directory();
  const { supervisor, attachments } = await prepared.launch({
    plan: whole,
    directory,
    io: { ...unlogged([bothOutputs]), log: fileLog(directory) },
  });
  const reader = new Reader(attachments[0]!.fd);
  return { supervisor, output: reader.ended, reader };
}

test("the process and its execs are in their cgroups, and see them from a cgroup namespace", async () => {
  const cgroups = openCgroups(sys);
  const parent = `/fathom-launcher-${runName}`;
  const cgroup = cgroups.create(`${parent}/test`);
  try {
    const namespaces = ["mount", "pid", "network", "ipc", "uts", "cgroup"] as const;
    const { supervisor } = await start(rig, ["sleep", "1000"], { namespaces, cgroupProcs: cgroup.procsFiles });
    // "4:memory:/path": a hierarchy and a place in it. The process is in the mounted hierarchies, not in all that the kernel knows.
    const joined = readFileSync(`/proc/${supervisor.pid}/cgroup`, "utf8")
      .trim()
      .split("\n")
      .filter((line) => line.endsWith(cgroup.path));
    expect(joined.length).toBe(cgroup.procsFiles.length);
    expect(cgroup.processes()).toEqual([supervisor.pid]);
    const inside = await execOutput(supervisor, ["cat", "/proc/self/cgroup"], cgroup.procsFiles);
    const seen = inside.split("\n");
    for (const line of joined) expect(seen).toContain(`${line.slice(0, line.lastIndexOf(":"))}:/`);
    await end(supervisor);
  } finally {
    await cgroup.remove();
    await cgroups.open(parent).remove();
  }
});

test("a cgroup that is missing is an error of prepare", async () => {
  const missing = launcher.prepare({ newNamespaces: ["pid"], cgroupProcs: ["/sys/fs/cgroup/none/cgroup.procs"] });
  await expect(missing).rejects.toMatchObject({
    stage: "stem",
    call: "open",
    errno: 2,
    detail: "/sys/fs/cgroup/none/cgroup.procs",
  });
  await missing.catch(() => undefined);
});

test("a user namespace with its maps", async () => {
  chmodSync(rig.base, 0o777);
  const operations = rootOperations(rig).filter(({ kind }) => kind !== "make-node");
  const whole: LaunchPlan = {
    version: 1,
    stem: {
      newNamespaces: ["user", "mount", "pid", "network", "ipc", "uts"],
      cgroupProcs: [],
      uidMap: [{ containerId: 0, hostId: 200_000, size: 65_536 }],
      gidMap: [{ containerId: 0, hostId: 300_000, size: 65_536 }],
    },
    operations: [
      ...operations,
      { kind: "set-user", uid: 0, gid: 0, groups: [1, 2] },
      execOperation(["sh", "-c", "id -u; id -G; tr -s ' ' < /proc/self/uid_map; exec sleep 1000"]),
    ],
    terminal: null,
  };
  const { supervisor, output, reader } = await launchPlan(whole);
  await reader.until(/65536/);
  const status = readFileSync(`/proc/${supervisor.pid}/status`, "utf8");
  expect(status).toMatch(/^Uid:\t200000\t200000\t200000\t200000$/m);
  expect(status).toMatch(/^Groups:\t300001 300002 $/m);
  expect(await execOutput(supervisor, ["id", "-u"])).toBe("0\n");
  await end(supervisor);
  expect(unframe(await output).stdout).toBe("0\n0 1 2\n 0 200000 65536\n");
});

test("joined namespaces: network and ipc of another container, its pid namespace", async () => {
  const first = await start(rig, ["sleep", "1000"]);
  const of = (kind: string): string => `/proc/${first.supervisor.pid}/ns/${kind}`;
  const script =
    "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; tr '\\0' ' ' </proc/1/cmdline; echo; echo /proc/[0-9]*; echo $$";
  const whole = plan(rig, ["sh", "-c", script], { namespaces: ["mount", "uts"] });
  const joined: LaunchPlan = {
    ...whole,
    stem: { ...whole.stem, joinPidNamespace: of("pid") },
    operations: [
      { kind: "join-namespace", namespace: "network", path: of("net") },
      { kind: "join-namespace", namespace: "ipc", path: of("ipc") },
      ...whole.operations,
    ],
  };
  const { supervisor, output } = await launchPlan(joined);
  expect((await supervisor.exit).code).toBe(0);
  const lines = unframe(await output).stdout.split("\n");
  expect(lines[0]).toBe(readlinkSync(of("net")));
  expect(lines[1]).toBe(readlinkSync(of("ipc")));
  // Its /proc shows that namespace, not the host's.
  expect(lines[2]).toBe("sleep 1000 ");
  const own = Number(lines.at(-2));
  expect(own).toBeGreaterThan(1);
  expect(lines[3]).toBe(`/proc/1 /proc/${own}`);
  await end(first.supervisor);
});

test("without a pid namespace, the supervisor does not wait for ever for output that an ended container's processes hold open", async () => {
  const { supervisor } = await start(rig, ["sh", "-c", "echo $$; sleep 3 & exit 8"], {
    namespaces: ["mount", "network", "ipc", "uts"],
  });
  expect((await supervisor.exit).code).toBe(8);
  await until("the supervisor has ended", () => !existsSync(`/proc/${supervisor.supervisorPid}`));
});

test("chroot instead of pivot_root, and execs in it", async () => {
  const whole = plan(rig, ["sleep", "1000"]);
  const operations = whole.operations.map((operation) =>
    operation.kind === "pivot-root" ? ({ kind: "chroot" } as const) : operation,
  );
  const { supervisor } = await launchPlan({ ...whole, operations });
  expect(await execOutput(supervisor, ["sh", "-c", "ls /"])).toContain("bin\n");
  expect(await execOutput(supervisor, ["sh", "-c", "readlink /proc/1/root; pwd"])).toEndWith("/\n");
  await end(supervisor);
});

test("a time namespace is shared with execs", async () => {
  const { supervisor } = await start(rig, ["sleep", "1000"], {
    namespaces: ["mount", "pid", "network", "ipc", "uts", "time"],
  });
  const own = readlinkSync(`/proc/${supervisor.pid}/ns/time`);
  expect(own).not.toBe(readlinkSync("/proc/self/ns/time"));
  expect(await execOutput(supervisor, ["readlink", "/proc/self/ns/time"])).toBe(`${own}\n`);
  await end(supervisor);
});

test("an ordinary container has no capabilities to look outside", async () => {
  const result = await run(rig, ["sh", "-c", "ls /proc/1/root/ | head -1; grep -c . /proc/mounts"]);
  expect(result.stdout.split("\n")[0]).toBe("bin");
  expect(Number(result.stdout.split("\n")[1])).toBeLessThan(10);
});
