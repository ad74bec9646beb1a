/** `fathom check` needs no daemon, changes nothing, and its exit code says whether a necessary feature is missing. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binary } from "./harness.ts";

const work = mkdtempSync(join(tmpdir(), "fathom-check-test-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

function check(before: readonly string[], ...args: string[]): { code: number; out: string; err: string } {
  const child = Bun.spawnSync([...before, binary, "check", ...args], { stdin: "ignore", timeout: 30_000 });
  return { code: child.exitCode, out: child.stdout.toString(), err: child.stderr.toString() };
}

test("this machine has everything that is needed, and the check leaves nothing behind", () => {
  const dataRoot = join(work, "data");
  mkdirSync(dataRoot);
  const root = readdirSync("/");
  const links = readdirSync("/sys/class/net");
  const { code, out, err } = check([], "--data-root", dataRoot);
  expect(err).toBe("");
  for (const title of ["Kernel", "Control groups", "Network", "Storage", "Security", "Limits"])
    expect(out).toContain(`\n${title}\n`);
  expect(out).toContain("  ok       nftables: published ports");
  expect(out).toContain(`overlay on ${dataRoot}`);
  expect(out).not.toContain("MISSING");
  expect(code).toBe(0);
  expect(readdirSync(dataRoot)).toEqual([]);
  expect(readdirSync("/")).toEqual(root);
  expect(readdirSync("/sys/class/net")).toEqual(links);
});

test("a data root that does not exist is checked at its future place, and is not made", () => {
  const dataRoot = join(work, "not/yet");
  expect(check([], "--data-root", dataRoot).code).toBe(0);
  expect(existsSync(join(work, "not"))).toBe(false);
  expect(readdirSync(work)).toEqual(["data"]);
});

test("the kernel rejects overlay on overlay: the check says where to put the data root, and ends with 1", () => {
  const script = `
    mkdir -p ${work}/o && mount -t tmpfs none ${work}/o && cd ${work}/o && mkdir l u w m && mount -t overlay none -o lowerdir=l,upperdir=u,workdir=w m &&
    exec "$@" --data-root ${work}/o/m`;
  const { code, out } = check(["unshare", "-m", "sh", "-c", script, "sh"]);
  expect(out).toContain(`MISSING  overlay on ${work}/o/m (overlay)`);
  expect(out).toContain("put the data root on ext4, xfs (ftype=1) or btrfs (--data-root)");
  expect(out).toContain("\nMissing, and needed: overlay on");
  expect(code).toBe(1);
});

test("without cgroups the check reports this once, and still shows the kernel's features", () => {
  const { code, out } = check(["unshare", "-m", "sh", "-c", 'umount -R /sys/fs/cgroup && exec "$@"', "sh"]);
  expect(out.match(/no cgroup hierarchy is mounted/g)).toHaveLength(1);
  expect(out).toContain("  ok       openat2: paths of a container");
  expect(out).not.toContain("MISSING  fathom-init");
  expect(out).toContain("\nMissing, and needed: cgroups.");
  expect(code).toBe(1);
});

test("the check rejects a data root that the daemon would reject", () => {
  const { code, err } = check([], "--data-root", "here/data");
  expect(err).toBe('fathom check: data-root must be an absolute path, found "here/data"\n');
  expect(code).toBe(125);
});

test("without rights the check names what is missing", () => {
  const { code, out } = check(["setpriv", "--bounding-set", "-sys_admin,-net_admin", "--inh-caps", "-all"]);
  expect(out).toContain("MISSING  capabilities: CAP_NET_ADMIN, CAP_SYS_ADMIN");
  expect(out).toContain("MISSING  unshare(CLONE_NEWNS)");
  expect(out).toContain("MISSING  network namespaces");
  expect(code).toBe(1);
  const user = check(["setpriv", "--reuid", "1000", "--clear-groups"]);
  expect(user.err).toContain("it needs root");
  expect(user.code).toBe(1);
});

test("an unknown flag is rejected, --help prints the help", () => {
  expect(check([], "--nosuch").code).toBe(125);
  expect(check([], "--help").out).toContain("Usage:  fathom check");
});
