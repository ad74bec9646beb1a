/**
 * The daemon on kernels that do not have a call; a filter of system calls imitates them. When a required call is missing, the daemon names it
 * and the first kernel version that has it, and ends. When another call is missing, containers have the same result. New options of fsconfig
 * and clone3 are in memory, where no filter can look: the guests (test/guest), whose kernels do not have some of them, test those.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { binary, TestDaemon } from "./harness.ts";

/** Numbers from 424 on are the same on every machine. */
const arm = process.arch === "arm64";
const calls = {
  memfd_create: arm ? 279 : 319,
  seccomp: arm ? 277 : 317,
  keyctl: arm ? 219 : 250,
  waitid: arm ? 95 : 247,
  setns: arm ? 268 : 308,
  unshare: arm ? 97 : 272,
  pidfd_send_signal: 424,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  pidfd_open: 434,
  clone3: 435,
  close_range: 436,
  openat2: 437,
  mount_setattr: 442,
  fchmodat2: 452,
} as const;
type Call = keyof typeof calls;

const ENOSYS = 38;
const EINVAL = 22;
const work = mkdtempSync(join(tmpdir(), "fathom-without-"));
const daemon = new TestDaemon("without");

beforeAll(() => {
  const source = resolve(import.meta.dir, "without-call.c");
  const { exitCode, stderr } = Bun.spawnSync([
    "gcc",
    "-O2",
    "-Wall",
    "-Werror",
    "-o",
    join(work, "without-call"),
    source,
  ]);
  if (exitCode !== 0) throw new Error(stderr.toString());
});
afterAll(async () => {
  await daemon.close();
  rmSync(work, { recursive: true, force: true });
});

interface Filter {
  readonly call: Call;
  readonly errno: number;
  /** Only when this argument has a bit of the mask. */
  readonly argument?: number;
  readonly mask?: number;
}

/** A program that runs fathom under the filter. */
function filtered({ call, errno, argument = 0, mask = 0 }: Filter): string {
  const path = join(work, `fathom-without-${call}`);
  const words = [join(work, "without-call"), calls[call], argument, mask, errno, binary].join(" ");
  writeFileSync(path, `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

/** The output that each kernel must give: an image is unpacked, and containers run, are entered, watched and ended. */
async function mainJob(): Promise<string[]> {
  const { image } = daemon;
  daemon.loadImage();
  const script = [
    "id",
    "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
    "ls -l /bin | cut -c1-10 | sort | uniq -c",
    "cut -d' ' -f5- /proc/self/mountinfo | sed 's/,lowerdir.*//' | sort",
    "ls /proc/self/fd | wc -l",
    "(echo 1 >/proc/sys/kernel/panic) 2>/dev/null || echo denied",
  ].join("; ");
  const said = [
    daemon.docker("run", "--rm", "--network", "none", "--tmpfs", "/t:size=1m,mode=1701", image, "sh", "-c", script),
    daemon.docker("run", "--rm", "-v", "volume:/etc", image, "sh", "-c", "ls -l /etc | cut -c1-10"),
  ];
  daemon.docker("run", "-d", "--name", "one", "--init", image, "sh", "-c", "sleep 1000 & sleep 1000");
  said.push(
    daemon.docker("exec", "-u", "7", "one", "id"),
    daemon.docker("exec", "one", "sh", "-c", "mkdir /new; umask"),
  );
  said.push(daemon.docker("diff", "one"), daemon.run("docker", "exec", "one", "sh", "-c", "exit 7").code.toString());
  daemon.docker("kill", "one");
  said.push(daemon.docker("wait", "one"));
  daemon.docker("rm", "one");
  daemon.docker("volume", "rm", "volume");
  daemon.docker("rmi", image);
  return said;
}

interface Feature {
  readonly Call: string;
  readonly Since: string;
  readonly State: string;
  readonly Fallback?: string;
}

async function features(): Promise<readonly Feature[]> {
  return (await daemon.api<{ Kernel: { Features: Feature[] } }>("GET", "/debug")).json.Kernel.Features;
}

let expected: string[] | undefined;
test("with all calls", async () => {
  await daemon.start();
  try {
    expected = await mainJob();
    expect((await features()).filter(({ State }) => State === "missing")).toEqual([]);
  } finally {
    await daemon.stop();
  }
});

test.each([
  { call: "fchmodat2", errno: ENOSYS, names: "fchmodat2" },
  { call: "memfd_create", errno: EINVAL, argument: 1, mask: 0x10, names: "memfd_create(MFD_EXEC)" },
  { call: "keyctl", errno: ENOSYS, names: "keyctl" },
] as const)("without $names all results are the same", async ({ names, ...filter }) => {
  await daemon.startProgram(filtered(filter));
  try {
    const feature = (await features()).find(({ Call }) => Call === names);
    expect(feature?.State).toBe("falls-back");
    expect(daemon.fathom("info")).toContain(`${names} (Linux ${feature?.Since}): ${feature?.Fallback}`);
    expect(await mainJob()).toEqual(expected!);
  } finally {
    await daemon.stop();
  }
});

test.each([
  ["openat2", "openat2 (Linux 5.6"],
  ["open_tree", "open_tree(OPEN_TREE_CLONE) (Linux 5.2"],
  ["fsopen", "fsopen, fsmount, move_mount (Linux 5.2"],
  ["fsconfig", "fsopen, fsmount, move_mount (Linux 5.2"],
  ["fsmount", "fsopen, fsmount, move_mount (Linux 5.2"],
  ["move_mount", "fsopen, fsmount, move_mount (Linux 5.2"],
  ["mount_setattr", "mount_setattr (Linux 5.12"],
  ["clone3", "clone3(CLONE_PIDFD) (Linux 5.3"],
  ["pidfd_open", "pidfd_open (Linux 5.3"],
  ["pidfd_send_signal", "pidfd_send_signal (Linux 5.1"],
  ["waitid", "waitid(P_PIDFD) (Linux 5.4"],
  ["setns", "setns with a process's descriptor (Linux 5.8"],
  ["close_range", "close_range(CLOSE_RANGE_CLOEXEC) (Linux 5.11"],
  ["seccomp", "seccomp (Linux 3.17"],
  ["unshare", "unshare(CLONE_NEWNS) (Linux 2.4"],
] as const)("without %s the daemon names the missing call and ends", (call, words) => {
  const flags = [
    "-H",
    `unix://${daemon.socket}`,
    "--data-root",
    daemon.dataRoot,
    "--exec-root",
    join(daemon.work, "run"),
  ];
  const { code, err } = daemon.run(
    filtered({ call, errno: ENOSYS }),
    "daemon",
    ...flags,
    "--pidfile",
    join(work, "pid"),
  );
  expect(err).toContain("the daemon cannot continue: this kernel (");
  expect(err).toContain(words);
  expect(err).toContain("ENOSYS");
  expect(err).toContain("use a kernel of 5.15 or newer");
  // It names only this call, not everything that depends on it.
  expect(err.split("stack=")[0]!.split("(Linux ").length - 1).toBe(call === "unshare" ? 5 : 1);
  expect(code).toBe(1);
});
