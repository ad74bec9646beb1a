/** Root file systems that try to mislead the launcher, and what the container can see of the launcher. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { startWords } from "@fathom/engine";
import type { LaunchFailure, Operation } from "@fathom/runtime";
import { Rig, run, start, sys } from "./rig.ts";

let rig = new Rig();
const rigs = [rig];
afterAll(() => rigs.forEach((each) => each[Symbol.dispose]()));
beforeEach(() => {
  rig = new Rig();
  rigs.push(rig);
});

const attributes = { set: [] } as const;
const tmpfs = (target: string): Operation => ({
  kind: "mount",
  type: "tmpfs",
  source: "tmpfs",
  options: [],
  attributes,
  target,
  create: "directory",
});
const bind = (source: string, target: string): Operation => ({
  kind: "bind",
  source,
  recursive: true,
  attributes,
  target,
  create: true,
});

function outside(): string {
  const directory = join(rig.base, "outside");
  mkdirSync(directory);
  return directory;
}

test("a mount target that is a link out of the root stays inside", async () => {
  const host = outside();
  symlinkSync(host, join(rig.rootfs, "escape"));
  symlinkSync("../../../../../../../..", join(rig.rootfs, "up"));
  const result = await run(rig, ["sh", "-c", "grep -c tmpfs /proc/mounts; touch /escape/made /up/tmp/made; ls /tmp"], {
    inRoot: [tmpfs("/escape"), tmpfs("/up/tmp/below"), tmpfs("/escape/deep/er")],
  });
  expect(result.code).toBe(0);
  expect(readdirSync(host)).toEqual([]);
  // The link was followed as the container would follow it: its target was made inside.
  expect(existsSync(join(rig.rootfs, host.slice(1)))).toBe(true);
  expect(result.stdout).toMatch(/^\d+\nbelow\n.*made\n$/s);
});

test("the target of a dangling link is made inside, a loop of links is an error", async () => {
  symlinkSync("/run/later", join(rig.rootfs, "dangling"));
  symlinkSync("loop", join(rig.rootfs, "loop"));
  writeFileSync(join(rig.base, "file"), "content");
  const result = await run(rig, ["cat", "/run/later"], { inRoot: [bind(join(rig.base, "file"), "/dangling")] });
  expect(result.stdout).toBe("content");
  expect(existsSync("/run/later")).toBe(false);
  await expect(run(rig, ["true"], { inRoot: [tmpfs("/loop")] })).rejects.toThrow("oo many levels of symbolic links");
  await expect(run(rig, ["true"], { inRoot: [tmpfs("/loop/x")] })).rejects.toThrow();
});

test("proc and sysfs are not mounted through a link", async () => {
  mkdirSync(join(rig.rootfs, "real"));
  rmSync(join(rig.rootfs, "proc"), { recursive: true });
  symlinkSync("real", join(rig.rootfs, "proc"));
  await run(rig, ["true"]).then(
    () => expect.unreachable(),
    (error: unknown) =>
      expect(String(error)).toContain("the target of a proc or sysfs mount must be a directory and no link"),
  );
});

test("nobody can mount over /proc through a link", async () => {
  symlinkSync("/proc/self/attr", join(rig.rootfs, "innocent"));
  await run(rig, ["true"], { inRoot: [tmpfs("/innocent")] }).then(
    () => expect.unreachable(),
    (error: unknown) => expect(error).toMatchObject({ path: "/innocent", errno: 1 }),
  );
});

test("a magic link cannot be a target, a working directory or a source in the root", async () => {
  symlinkSync("/proc/self/fd/3", join(rig.rootfs, "fd"));
  for (const change of [
    { inRoot: [tmpfs("/fd")] },
    { inRoot: [{ ...bind("/proc/self/exe", "/tmp/exe"), sourceInRoot: true } as Operation] },
    { process: [{ kind: "working-directory", path: "/proc/self/fd/7", create: false }] as const },
    { process: [{ kind: "working-directory", path: "/fd", create: true }] as const },
  ]) {
    await run(rig, ["true"], change).then(
      () => expect.unreachable(),
      (error: unknown) => expect(String(error)).toMatch(/symbolic links|no such file|loop/),
    );
  }
});

test("an image's own /dev/null is not used as a mask", async () => {
  // /dev is a tmpfs of the plan; here something else is bound over its /dev/null.
  writeFileSync(join(rig.base, "fake"), "readable");
  const fake: Operation[] = [bind(join(rig.base, "fake"), "/dev/null"), { kind: "mask", path: "/proc/version" }];
  await run(rig, ["true"], { inRoot: fake }).then(
    () => expect.unreachable(),
    (error: unknown) => expect(String(error)).toContain("/dev/null is not the null device"),
  );
});

test("masks hide, read-only paths reject writes, missing paths are allowed", async () => {
  writeFileSync(join(rig.rootfs, "etc/secret"), "secret");
  const inRoot: Operation[] = [
    { kind: "mask", path: "/etc/secret" },
    { kind: "mask", path: "/proc/fs" },
    { kind: "mask", path: "/not/there" },
    { kind: "readonly-path", path: "/proc/sys" },
    { kind: "readonly-path", path: "/not/there" },
  ];
  const script = "wc -c < /etc/secret; ls /proc/fs | wc -l; echo 1 > /proc/sys/kernel/hostname; echo $?";
  const result = await run(rig, ["sh", "-c", script], { inRoot });
  expect(result.stdout).toBe("0\n0\n1\n");
  expect(result.stderr).toContain("Read-only file system");
});

test("a read-only root, with a writable mount in it", async () => {
  const script = "touch /x || echo refused; touch /tmp/x && echo fine";
  const result = await run(rig, ["sh", "-c", script], { inRoot: [tmpfs("/tmp"), { kind: "readonly-root" }] });
  expect(result.stdout).toBe("refused\nfine\n");
  expect(existsSync(join(rig.rootfs, "x"))).toBe(false);
});

test("binds: attributes, kinds, a missing source, a directory over a file", async () => {
  const host = outside();
  writeFileSync(join(host, "file"), "data");
  const readonly: Operation = {
    ...bind(host, "/mnt/deep/dir"),
    attributes: { set: ["readonly", "nosuid", "noexec"], recursive: true },
  } as Operation;
  const script = "cat /mnt/deep/dir/file /mnt/file; touch /mnt/deep/dir/new; grep /mnt/deep/dir /proc/mounts";
  const result = await run(rig, ["sh", "-c", script], { inRoot: [readonly, bind(join(host, "file"), "/mnt/file")] });
  expect(result.stdout).toStartWith("datadata");
  expect(result.stdout).toMatch(/ \/mnt\/deep\/dir \S+ ro,nosuid,noexec/);
  expect(result.stderr).toContain("Read-only file system");
  await run(rig, ["true"], { inRoot: [bind(join(host, "missing"), "/x")] }).then(
    () => expect.unreachable(),
    (error: unknown) => expect(error).toMatchObject({ path: "/x", errno: 2 }),
  );
  await run(rig, ["true"], { inRoot: [bind(host, "/bin/busybox")] }).then(
    () => expect.unreachable(),
    (error: unknown) =>
      expect(startWords(error as LaunchFailure)).toContain(
        "not a directory: Are you trying to mount a directory onto a file (or vice-versa)?",
      ),
  );
});

test("copyUp copies the covered content into the new file system", async () => {
  mkdirSync(join(rig.rootfs, "data/sub"), { recursive: true });
  writeFileSync(join(rig.rootfs, "data/sub/file"), "kept", { mode: 0o640 });
  symlinkSync("sub/file", join(rig.rootfs, "data/link"));
  const mount = { ...tmpfs("/data"), copyUp: true } as Operation;
  const result = await run(rig, ["sh", "-c", "cat /data/link; stat -c %a /data/sub/file; touch /data/new"], {
    inRoot: [mount],
  });
  expect(result.stdout).toBe("kept640\n");
  expect(existsSync(join(rig.rootfs, "data/new"))).toBe(false);
});

test("sysctl changes the container's own namespaces, not the host's", async () => {
  const before = readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8");
  const sysctl: Operation = { kind: "sysctl", key: "net.ipv4.ip_unprivileged_port_start", value: "7" };
  const result = await run(rig, ["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"], { inRoot: [sysctl] });
  expect(result.stdout).toBe("7\n");
  expect(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8")).toBe(before);
});

test("nodes and directories: owners, modes; existing ones do not change", async () => {
  const inRoot: Operation[] = [
    { kind: "make-directory", path: "/made/deep", mode: 0o750, uid: 7, gid: 8 },
    { kind: "make-directory", path: "/etc", mode: 0o700, uid: 7, gid: 8 },
    { kind: "make-node", path: "/made/fifo", type: "fifo", major: 0, minor: 0, mode: 0o622, uid: 1, gid: 2 },
    { kind: "make-symlink", path: "/made/link", target: "one" },
    { kind: "make-symlink", path: "/made/link", target: "two" },
    { kind: "make-symlink", path: "/made/other", target: "one" },
    { kind: "make-symlink", path: "/made/other", target: "two", replace: true },
  ];
  const script = "stat -c '%a %u %g %F' /made/deep /etc /made/fifo; readlink /made/link; readlink /made/other";
  const result = await run(rig, ["sh", "-c", script], { inRoot });
  expect(result.stdout).toBe("750 7 8 directory\n755 0 0 directory\n622 1 2 fifo\none\ntwo\n");
  await run(rig, ["true"], { inRoot: [{ kind: "make-directory", path: "/bin/busybox", mode: 0o755 }] }).then(
    () => expect.unreachable(),
    (error: unknown) =>
      expect(error).toMatchObject({
        code: "invalid-argument",
        path: "/bin/busybox",
      }),
  );
});

test("the program has standard streams, and nothing else of the engine", async () => {
  const script =
    "ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/cwd; grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; ulimit -c; umask; kill -l >/dev/null; grep SigIgn /proc/self/status; grep SigBlk /proc/self/status";
  const result = await run(rig, ["sh", "-c", script]);
  const [fds, ...rest] = result.stdout.split("\n");
  // ls itself has the directory open as 3.
  expect(fds).toStartWith("0 1 2 3 /");
  expect(rest).toContain("0022");
  expect(rest).toContain("SigIgn:\t0000000000000000");
  expect(rest).toContain("SigBlk:\t0000000000000000");
});

test("identity: user, groups, capabilities, no new privileges, limits, oom score, umask, hostname", async () => {
  const chown = 1n << 0n;
  const kill = 1n << 5n;
  const process: Operation[] = [
    { kind: "oom-score-adj", value: 321 },
    { kind: "umask", mask: 0o27 },
    { kind: "rlimit", resource: "RLIMIT_NOFILE", soft: 123n, hard: 456n },
    { kind: "session-keyring", name: "test" },
    { kind: "bounding-set", keep: chown | kill },
    { kind: "set-user", uid: 1000, gid: 100, groups: [5, 6] },
    { kind: "capabilities", effective: chown, permitted: chown | kill, inheritable: chown, ambient: chown },
    { kind: "no-new-privileges" },
  ];
  const script =
    "id -u; id -G; grep -E '^(Cap|NoNew)' /proc/self/status; cat /proc/self/oom_score_adj; umask; ulimit -n; ulimit -Hn; hostname";
  const result = await run(rig, ["sh", "-c", script], { process, inRoot: [{ kind: "set-hostname", name: "named" }] });
  expect(result.stdout.split("\n")).toEqual([
    "1000",
    "100 5 6",
    "CapInh:\t0000000000000001",
    // An exec by a user other than root keeps only the ambient set.
    "CapPrm:\t0000000000000001",
    "CapEff:\t0000000000000001",
    "CapBnd:\t0000000000000021",
    "CapAmb:\t0000000000000001",
    "NoNewPrivs:\t1",
    "321",
    "0027",
    "123",
    "456",
    "named",
    "",
  ]);
});

function instruction(code: number, jt: number, jf: number, k: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes[2] = jt;
  bytes[3] = jf;
  bytes.writeUInt32LE(k >>> 0, 4);
  return bytes;
}

test("a launch fails at once when the filter rejects every call, also the one that ends a process", async () => {
  const program = new Uint8Array(instruction(0x06, 0, 0, 0x00050001));
  const starting = run(rig, ["true"], { process: [{ kind: "seccomp", program, flags: 0 }] });
  await expect(starting).rejects.toMatchObject({ stage: "launch", operation: { kind: "exec" } });
});

test("a seccomp program is loaded, with and without no_new_privs", async () => {
  // mkdir and mkdirat give EPERM on this architecture; everything else is allowed.
  const numbers = process.arch === "arm64" ? [34] : [83, 258];
  const program = Buffer.concat([
    instruction(0x20, 0, 0, 0),
    ...numbers.map((number, index) => instruction(0x15, numbers.length - index, 0, number)),
    instruction(0x06, 0, 0, 0x7fff0000),
    instruction(0x06, 0, 0, 0x00050001),
  ]);
  const seccomp: Operation = { kind: "seccomp", program: new Uint8Array(program), flags: 0 };
  const asUser: Operation = { kind: "set-user", uid: 1000, gid: 1000, groups: [] };
  for (const steps of [
    [seccomp, asUser],
    [{ kind: "no-new-privileges" } as const, asUser, seccomp],
  ]) {
    for (const init of [false, true]) {
      const script = "/bin/busybox mkdir /tmp/x; grep Seccomp: /proc/self/status";
      const result = await run(rig, ["sh", "-c", script], { process: steps, init });
      expect(result.stderr).toContain("Operation not permitted");
      expect(result.stdout).toBe("Seccomp:\t2\n");
    }
  }
});

test("the engine's executable cannot be opened for writing", async () => {
  const { supervisor } = await start(rig, ["sleep", "1000"], { init: true });
  const target = lstatSync(`/proc/${supervisor.pid}/exe`);
  expect(target.isSymbolicLink()).toBe(true);
  expect(() => sys.close(sys.open(`/proc/${supervisor.pid}/exe`, 1))).toThrow();
  await supervisor.signal(9);
  await supervisor.exit;
});

test("a user of a container does not become the owner of the host's null device", async () => {
  const before = statSync("/dev/null").uid;
  const uid = before === 12_345 ? 12_346 : 12_345;
  try {
    const result = await run(rig, ["sh", "-c", "stat -c '%u %t:%T' /dev/stdin; id -u"], {
      inRoot: [{ kind: "make-symlink", path: "/dev/stdin", target: "/proc/self/fd/0" }],
      process: [{ kind: "set-user", uid, gid: 0, groups: [] }],
    });
    expect(result.stdout).toEndWith(`${uid}\n`);
    expect(statSync("/dev/null").uid).toBe(before);
  } finally {
    chownSync("/dev/null", 0, 0);
  }
});

test("input from nowhere is the container's own null device", async () => {
  const result = await run(rig, ["sh", "-c", "stat -L -c %d /proc/self/fd/0; stat -c %d /dev/null"]);
  const [input, own] = result.stdout.split("\n");
  expect(input).toBe(own!);
});
