/** The /proc of a container that joins another's pid namespace: it is the container's own, whatever the other container did with its /proc. */
import { afterAll, expect, test } from "bun:test";
import { constants } from "node:os";
import { chmodSync, readFileSync } from "node:fs";
import type { LaunchPlan, NamespaceKind, Operation, Supervisor } from "@fathom/runtime";
import { bothOutputs, launcher, plan, Reader, Rig, start, sys, unframe, unlogged, fileLog } from "./rig.ts";

const { EPERM, ESRCH } = constants.errno;

const rig = new Rig();
chmodSync(rig.base, 0o777);
afterAll(() => rig[Symbol.dispose]());

const maps = {
  uidMap: [{ containerId: 0, hostId: 200_000, size: 65_536 }],
  gidMap: [{ containerId: 0, hostId: 300_000, size: 65_536 }],
};

/** A container whose program ran `script` first. */
async function other(
  script: string,
  namespaces?: readonly NamespaceKind[],
): Promise<{ supervisor: Supervisor; end: () => Promise<string> }> {
  const { supervisor, attachments } = await start(rig, ["sh", "-c", `${script}; echo ready; exec sleep 1000`], {
    attach: [bothOutputs],
    ...(namespaces === undefined ? {} : { namespaces }),
  });
  const reader = new Reader(attachments[0]!.fd);
  await reader.until(/ready/);
  return {
    supervisor,
    async end() {
      await supervisor.signal(9);
      await supervisor.exit;
      return unframe(await reader.ended).stdout;
    },
  };
}

interface JoinChange {
  readonly pidNamespace?: string;
  readonly namespaces?: readonly NamespaceKind[];
  readonly userNamespace?: boolean;
  readonly procOptions?: readonly (readonly [string] | readonly [string, string])[];
  readonly before?: readonly Operation[];
  readonly inRoot?: readonly Operation[];
}

/** The output of a container that joins the other's pid namespace. */
async function joined(target: Supervisor, script: string, change: JoinChange = {}): Promise<string> {
  const namespaces = change.namespaces ?? ["mount", "network", "ipc", "uts"];
  const whole = plan(rig, ["sh", "-c", script], { namespaces, inRoot: change.inRoot ?? [] });
  const operations = whole.operations
    .filter(({ kind }) => change.userNamespace !== true || kind !== "make-node")
    .map((operation) =>
      operation.kind === "mount" && operation.type === "proc"
        ? { ...operation, options: change.procOptions ?? [] }
        : operation,
    );
  const joining: LaunchPlan = {
    ...whole,
    stem: {
      ...whole.stem,
      newNamespaces: change.userNamespace === true ? ["user", ...namespaces] : namespaces,
      joinPidNamespace: change.pidNamespace ?? `/proc/${target.pid}/ns/pid`,
      ...(change.userNamespace === true ? maps : {}),
    },
    operations: [...(change.before ?? []), ...operations],
  };
  const prepared = await launcher.prepare(joining.stem);
  const directory = rig.directory();
  const { supervisor, attachments } = await prepared.launch({
    plan: joining,
    directory,
    io: { ...unlogged([bothOutputs]), log: fileLog(directory) },
  });
  const said = unframe(await new Reader(attachments[0]!.fd).ended);
  const { code } = await supervisor.exit;
  return code === 0 ? said.stdout : `exit ${code}: ${said.stdout}${said.stderr}`;
}

const look = "tr '\\0' ' ' </proc/1/cmdline; echo; echo /proc/[0-9]*; echo $$; grep ' /proc ' /proc/mounts";

/** Checks that the /proc belongs to the other's namespace and shows both processes; returns the mount's options. */
function procOptions(said: string): string {
  const [first, numbers, own, mount = ""] = said.split("\n");
  expect(first).toBe("sleep 1000 ");
  expect(Number(own)).toBeGreaterThan(1);
  expect(numbers).toBe(`/proc/1 /proc/${own}`);
  expect(mount).toStartWith("proc /proc proc ");
  return mount.split(" ")[3]!;
}

const plain = "rw,nosuid,nodev,noexec,relatime";

test("the joining container has a /proc although the other has unmounted its own", async () => {
  const { supervisor, end } = await other("busybox umount -l /proc");
  expect(procOptions(await joined(supervisor, look))).toBe(plain);
  await end();
});

test("the new /proc does not copy the changed options of the other container's /proc", async () => {
  const { supervisor, end } = await other(
    "mount -o remount,hidepid=2,gid=77,ro proc /proc; grep ' /proc ' /proc/mounts",
  );
  expect(procOptions(await joined(supervisor, look))).toBe(plain);
  const output = await end();
  expect(output).toContain("hidepid=");
  expect(output).toContain(" ro,");
});

test("the new /proc has the options of its plan, and does not change those of the other", async () => {
  const { supervisor, end } = await other(":");
  const own = procOptions(
    await joined(supervisor, look, {
      procOptions: [
        ["hidepid", "2"],
        ["gid", "77"],
      ],
    }),
  );
  expect(own).toBe(`${plain},gid=77,hidepid=invisible`);
  expect(readFileSync(`/proc/${supervisor.pid}/mounts`, "utf8")).toContain(`proc /proc proc ${plain} 0 0`);
  // A second /proc of the same namespace has its own options again.
  expect(procOptions(await joined(supervisor, look))).toBe(plain);
  const subset = await joined(supervisor, "ls /proc", { procOptions: [["subset", "pid"]] });
  expect(subset).not.toContain("meminfo");
  expect(subset).toContain("self");
  await end();
});

test("an option that procfs does not know fails the start", async () => {
  const { supervisor, end } = await other(":");
  await expect(joined(supervisor, "true", { procOptions: [["nonsense", "1"]] })).rejects.toThrow("nonsense");
  await end();
});

test("masked and read-only paths of the new /proc work, and do not appear in the other", async () => {
  const { supervisor, end } = await other(":");
  const hidden: readonly Operation[] = [
    { kind: "mask", path: "/proc/keys" },
    { kind: "mask", path: "/proc/acpi" },
    { kind: "mask", path: "/proc/tty" },
    { kind: "readonly-path", path: "/proc/sys" },
  ];
  const script =
    "wc -c </proc/keys; ls /proc/tty | wc -l; (echo x >/proc/sys/kernel/hostname) 2>&1 | grep -o 'Read-only file system'";
  expect(await joined(supervisor, script, { inRoot: hidden })).toBe("0\n0\nRead-only file system\n");
  expect(readFileSync(`/proc/${supervisor.pid}/mounts`, "utf8")).not.toContain("/proc/tty");
  await end();
});

test("network and IPC are joined too, as in a pod", async () => {
  const { supervisor, end } = await other("busybox umount -l /proc");
  const of = (kind: string): string => `/proc/${supervisor.pid}/ns/${kind}`;
  const said = await joined(supervisor, look, {
    namespaces: ["mount", "uts"],
    before: [
      { kind: "join-namespace", namespace: "network", path: of("net") },
      { kind: "join-namespace", namespace: "ipc", path: of("ipc") },
    ],
  });
  expect(procOptions(said)).toBe(plain);
  await end();
});

test("a namespace whose processes have ended is rejected", async () => {
  const { supervisor, end } = await other(":");
  const held = sys.open(`/proc/${supervisor.pid}/ns/pid`, 0);
  await end();
  await expect(joined(supervisor, "true", { pidNamespace: `/proc/${process.pid}/fd/${held}` })).rejects.toMatchObject({
    stage: "launch",
    errno: ESRCH,
  });
  sys.close(held);
});

test("the engine's own pid namespace, as for a container with --pid host", async () => {
  const { supervisor, end } = await other(":", ["mount", "network", "ipc", "uts"]);
  const said = await joined(supervisor, "tr '\\0' ' ' </proc/1/cmdline");
  expect(said).toBe(readFileSync("/proc/1/cmdline", "utf8").replaceAll("\0", " "));
  await end();
});

test("from a user namespace of its own", async () => {
  const { supervisor, end } = await other("busybox umount -l /proc");
  const said = await joined(supervisor, `${look}; tr -s ' ' </proc/self/uid_map`, { userNamespace: true });
  expect(procOptions(said)).toBe(plain);
  expect(said).toEndWith("\n 0 200000 65536\n");
  await expect(
    joined(supervisor, "true", { userNamespace: true, procOptions: [["hidepid", "2"]] }),
  ).rejects.toMatchObject({ stage: "launch", errno: EPERM });
  await end();
});
