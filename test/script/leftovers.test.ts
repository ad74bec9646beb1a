/** The leak check finds each kind of thing that a test file leaves behind, and ignores what others make meanwhile. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const script = resolve(import.meta.dir, "../room.sh");
const hierarchy = existsSync("/sys/fs/cgroup/cgroup.controllers") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";

/** Runs a shell command in a room of its own, calls `meanwhile` while it runs, and returns the output of the leak check. */
async function leftBy(run: string, command: string, meanwhile = (): void => undefined): Promise<string> {
  const room = mkdtempSync(join(tmpdir(), "room-"));
  try {
    const child = Bun.spawn([script, room, "bash", "-c", `echo runs; ${command}`], {
      env: { ...process.env, BUN: process.execPath, FATHOM_TEST_RUN: run, FATHOM_TEST_PATIENCE_MS: "300" },
      stdin: "ignore",
      stdout: "pipe",
    });
    for await (const _ of child.stdout) meanwhile();
    expect(await child.exited).toBe(0);
    return readFileSync(join(room, "left"), "utf8").trim();
  } finally {
    rmSync(room, { recursive: true });
  }
}

test.each([
  ["a process", "sleep 1234 &", /^process \d+ \S+: sleep 1234$/],
  ["a process whose parent has ended", "(setsid sleep 1235 & )", /^process \d+ \S+: sleep 1235$/],
  [
    "a mount",
    "mkdir /run/netns/m; mount -t tmpfs none /run/netns/m; mount --bind /run/netns/m /mnt",
    /mount \d+ \/mnt/,
  ],
  ["a link", "ip link add left0 type bridge", /^link left0:$/],
  ["a firewall table", "nft add table ip left", /^nftables table ip left$/],
  ["a network namespace", "ip netns add left", /^mount \d+ \/run\/netns\/left nsfs$\n^network namespace left$/m],
  ["a temporary file", "mktemp $TMPDIR/left-XXX", /^file left-...$/],
  ["a file in /run", "touch /run/left", /^file left$/],
])(
  "%s",
  async (_, command, expected) => {
    expect(await leftBy("kinds", command)).toMatch(expected);
  },
  60_000,
);

test("a cgroup with the run's name", async () => {
  const path = `${hierarchy}/fathom-left-mine${process.pid}/below`;
  try {
    expect(await leftBy(`mine${process.pid}`, `mkdir -p ${path}`)).toBe(`cgroup ${resolve(path, "..")}`);
  } finally {
    rmdirSync(path);
    rmdirSync(resolve(path, ".."));
  }
}, 60_000);

test("nothing, when nothing was left behind, whatever others make beside it", async () => {
  const cgroup = `${hierarchy}/fathom-other${process.pid}`;
  const others = mkdtempSync(join(tmpdir(), "fathom-other-"));
  const mount = join(others, "m");
  const made = mkdtempSync(join(tmpdir(), "room-made-"));
  let other: Bun.Subprocess | undefined;
  const meanwhile = (): void => {
    if (other !== undefined) return;
    mkdirSync(`${cgroup}/x`, { recursive: true });
    mkdirSync(mount);
    Bun.spawnSync(["mount", "-t", "tmpfs", "overlay", mount]);
    other = Bun.spawn(["sleep", "1000"]);
    // The command continues as soon as this exists.
    mkdirSync(join(made, "go"));
  };
  try {
    const left = await leftBy(
      "others",
      `for i in $(seq 300); do [ -d ${made}/go ] && exit; sleep 0.1; done`,
      meanwhile,
    );
    expect(left).toBe("");
    expect(readdirSync(cgroup)).toContain("x");
  } finally {
    other?.kill();
    Bun.spawnSync(["umount", mount]);
    rmdirSync(`${cgroup}/x`);
    rmdirSync(cgroup);
    for (const path of [others, made]) rmSync(path, { recursive: true });
  }
}, 60_000);
