import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSys } from "../create-sys.ts";
import { helperExecutable } from "../helper.ts";
import { createHostFiles } from "./host-files.ts";

const sys = createSys();
const files = createHostFiles({ sys, executable: () => helperExecutable(sys) });
/** As on a kernel that cannot resolve paths from memory alone: the helper does everything. */
const byHelper = createHostFiles({
  sys: { ...sys, openat2: () => expect.unreachable() },
  executable: () => helperExecutable(sys),
});

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "fathom-host-files-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test.each([
  ["memory", files],
  ["the helper", byHelper],
])("kinds of paths, by %s", async (_name, files) => {
  writeFileSync(join(root, "file"), "");
  symlinkSync("..", join(root, "link"));
  expect(await files.kindOf(root)).toBe("directory");
  expect(await files.kindOf(join(root, "link"))).toBe("directory");
  expect(await files.kindOf(join(root, "file"))).toBe("other");
  expect(await files.kindOf(join(root, "nothing"))).toBeUndefined();
  expect(await files.kindOf(join(root, "file", "below"))).toBeUndefined();
  expect(await files.kindOf("/proc/self/ns")).toBe("directory");
});

test("directories are made with their parents", async () => {
  await files.makeDirectory(join(root, "a/b c/d\ne"));
  await files.makeDirectory(join(root, "a/b c"));
  expect(await files.kindOf(join(root, "a/b c/d\ne"))).toBe("directory");
  writeFileSync(join(root, "file"), "");
  await expect(files.makeDirectory(join(root, "file"))).rejects.toThrow("ENOTDIR");
  await expect(files.makeDirectory(join(root, "file/x"))).rejects.toThrow("ENOTDIR");
});

test("paths without symlinks, and paths that leave their directory", async () => {
  mkdirSync(join(root, "real/below"), { recursive: true });
  symlinkSync("real", join(root, "link"));
  symlinkSync("/etc", join(root, "out"));
  expect(await files.realPath(join(root, "link/below"))).toBe(join(root, "real/below"));
  await files.checkBeneath(root, "link/below");
  await expect(files.checkBeneath(root, "../etc")).rejects.toThrow("EXDEV");
  await expect(files.checkBeneath(root, "out/passwd")).rejects.toThrow("EXDEV");
  await expect(files.checkBeneath(root, "nothing")).rejects.toThrow("ENOENT");
});

test("a small tree needs no helper, a tree with a large file does", async () => {
  const noHelper = createHostFiles({ sys, executable: () => expect.unreachable() });
  const tree = join(root, "tree");
  mkdirSync(join(tree, "a/b"), { recursive: true });
  writeFileSync(join(tree, "a/file"), "x");
  symlinkSync("/etc", join(tree, "a/link"));
  await noHelper.remove(tree);
  expect(existsSync(tree)).toBe(false);
  expect(existsSync("/etc")).toBe(true);
  mkdirSync(join(tree, "a/b"), { recursive: true });
  writeFileSync(join(tree, "a/file"), Buffer.alloc(5 << 20, 1));
  await expect(noHelper.remove(tree)).rejects.toThrow();
  await files.remove(tree);
  expect(existsSync(tree)).toBe(false);
});

test("a tree is removed at any depth, and no link is followed", async () => {
  const outside = join(root, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "kept"), "");
  const tree = join(root, "tree");
  mkdirSync(tree);
  // Deeper than a path can name, and than a process can have open.
  let at = sys.open(tree, 0);
  for (let depth = 0; depth < 400; depth++) {
    for (const name of ["a", "b"]) sys.mkdirat(at, name, 0o755);
    sys.symlinkat(outside, at, "link");
    const below = sys.openat2(at, "a", { flags: 0o200000 });
    sys.close(at);
    at = below;
  }
  sys.close(at);
  await files.remove(tree);
  expect(existsSync(tree)).toBe(false);
  expect(existsSync(join(outside, "kept"))).toBe(true);
  await files.remove(tree);
  symlinkSync(outside, join(root, "link"));
  await files.remove(join(root, "link"));
  expect(existsSync(join(outside, "kept"))).toBe(true);
});

test("written files are made durable, and errors name the path", async () => {
  await files.sync(root);
  await expect(files.sync(join(root, "nothing"))).rejects.toThrow(/nothing/);
});

test("mounts are known without opening them", () => {
  expect(files.isMounted("/proc")).toBe(true);
  expect(files.isMounted(root)).toBe(false);
});

test("each caller of a slow look has its own limit", async () => {
  const script = join(root, "slow");
  writeFileSync(script, `#!/bin/sh\nuntil test -e ${root}/go; do sleep 0.02; done\necho "0 directory"\n`, {
    mode: 0o755,
  });
  const fd = sys.open(script, 0);
  let made = 0;
  const slow = createHostFiles({
    sys: { ...sys, openat2: () => expect.unreachable() },
    executable: () => {
      made++;
      return fd;
    },
    answerMs: 3000,
  });
  const first = slow.kindOf("/some/where");
  // sleep: the second caller comes later than the first
  await Bun.sleep(1500);
  const second = slow.kindOf("/some/where");
  await expect(first).rejects.toMatchObject({ code: "timeout" });
  writeFileSync(join(root, "go"), "");
  expect(await second).toBe("directory");
  expect(made).toBe(1);
  sys.close(fd);
}, 20_000);

test("a call that was given up and ends later is made again for the next caller, but no mount", async () => {
  const script = join(root, "late");
  const first = join(root, "first");
  // The first one holds its output open after its end, as a process that the kernel keeps for a while.
  const lines = [`if test -e ${first}; then echo "0 directory"; exit; fi`, `: >${first}`, "sleep 2.5 &", "wait"];
  writeFileSync(script, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o755 });
  const fd = sys.open(script, 0);
  let made = 0;
  const late = createHostFiles({
    sys: { ...sys, openat2: () => expect.unreachable() },
    executable: () => {
      made++;
      return fd;
    },
    answerMs: 2000,
  });
  await expect(late.kindOf("/some/where")).rejects.toMatchObject({ code: "timeout" });
  expect(await late.kindOf("/some/where")).toBe("directory");
  expect(made).toBe(2);
  rmSync(first);
  const mount = (): Promise<void> => late.mount("server:/a", "/some/where", "nfs", 0, "");
  await expect(mount()).rejects.toMatchObject({ code: "timeout" });
  await expect(mount()).rejects.toMatchObject({ code: "timeout" });
  expect(made).toBe(3);
  sys.close(fd);
}, 20_000);

test("nobody waits for a helper that is stopped, also for calls without a time limit", async () => {
  const script = join(root, "stopped");
  writeFileSync(script, "#!/bin/sh\nkill -STOP $$\n", { mode: 0o755 });
  const fd = sys.open(script, 0);
  const stopped = createHostFiles({ sys, executable: () => fd });
  for (const call of [() => stopped.sync(root), () => stopped.remove(join(root, "nothing"))])
    await expect(call()).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/^the process that should (sync|remove) .* was stopped/),
    });
  sys.close(fd);
}, 20_000);
