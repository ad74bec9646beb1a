import { describe, expect, test } from "bun:test";
import { readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AT_FDCWD } from "../contract.ts";
import {
  AT_EMPTY_PATH,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  DT_DIR,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  RENAME_NOREPLACE,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
} from "../constants.ts";
import { bytes, isRoot, sys, sysErrorOf, testDirectory, text } from "../testing/support.ts";

// Constants of the kernel that only this test uses.
const RENAME_EXCHANGE = 2;
const DT_REG = 8;
const DT_LNK = 10;

/** Flags that /proc shows for a descriptor, to see CLOEXEC. */
function closesOnExec(fd: number): boolean {
  const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "0";
  return (Number.parseInt(flags, 8) & 0o2000000) !== 0;
}

describe("opening", () => {
  test("a failure names the call, the path and the reason", () => {
    using dir = testDirectory();
    const error = sysErrorOf(() => sys.openat2(dir.fd, "missing", { flags: O_RDONLY }));
    expect(error.message).toBe("openat2 missing: No such file or directory (ENOENT)");
    expect([error.errno, error.errnoName, error.syscall]).toEqual([2, "ENOENT", "openat2"]);
    expect(sysErrorOf(() => sys.open("/no\nwhere", O_RDONLY)).message).toStartWith("open /no\\x0awhere: ");
  });

  test("all descriptors close on exec", () => {
    using dir = testDirectory();
    const [readEnd, writeEnd] = sys.pipe(0);
    const [left, right] = sys.socketpair(1, false);
    const opened = [
      dir.fd,
      readEnd,
      writeEnd,
      left,
      right,
      sys.openat2(dir.fd, "x", { flags: O_WRONLY | O_CREAT, mode: 0o600 }),
      sys.dup(dir.fd),
      sys.memfdCreate("test", bytes(""), false),
      sys.inotifyInit(),
      sys.pidfdOpen(process.pid),
      sys.openNetlink(0),
    ];
    expect(opened.map((fd) => closesOnExec(fd))).toEqual(opened.map(() => true));
    for (const fd of opened.slice(1)) sys.close(fd);
    expect(sysErrorOf(() => sys.close(readEnd)).errnoName).toBe("EBADF");
  });

  test("a scoped lookup does not leave its directory", () => {
    using dir = testDirectory();
    sys.mkdirat(dir.fd, "root", 0o755);
    writeFileSync(join(dir.path, "secret"), "outside");
    writeFileSync(join(dir.path, "root/secret"), "inside");
    symlinkSync("/secret", join(dir.path, "root/absolute"));
    symlinkSync("../secret", join(dir.path, "root/climbing"));
    const root = sys.openat2(dir.fd, "root", { flags: O_PATH | O_DIRECTORY });
    const buffer = new Uint8Array(16);
    for (const name of ["absolute", "climbing", "../secret"]) {
      const fd = sys.openat2(root, name, { flags: O_RDONLY, resolve: RESOLVE_IN_ROOT });
      expect(text(buffer.subarray(0, sys.read(fd, buffer)))).toBe("inside");
      sys.close(fd);
    }
    const beneath = (): number => sys.openat2(root, "climbing", { flags: O_RDONLY, resolve: RESOLVE_BENEATH });
    expect(sysErrorOf(beneath).errnoName).toBe("EXDEV");
    const plain = (): number => sys.openat2(root, "absolute", { flags: O_RDONLY, resolve: RESOLVE_NO_SYMLINKS });
    expect(sysErrorOf(plain).errnoName).toBe("ELOOP");
    sys.close(root);
  });

  test("a path with a NUL, or one that is too long, is rejected and not cut", () => {
    using dir = testDirectory();
    writeFileSync(join(dir.path, "short"), "");
    expect(sysErrorOf(() => sys.openat2(dir.fd, "short\0er", { flags: 0 })).errnoName).toBe("EINVAL");
    expect(sysErrorOf(() => sys.mkdirat(dir.fd, bytes("a\0b"), 0o700)).errnoName).toBe("EINVAL");
    expect(sysErrorOf(() => sys.mkdirat(dir.fd, "./".repeat(2048), 0o700)).errnoName).toBe("ENAMETOOLONG");
    expect(sysErrorOf(() => sys.mkdirat(dir.fd, bytes("./".repeat(5000)), 0o700)).errnoName).toBe("ENAMETOOLONG");
    // 4095 bytes are still a path; only its last component fails.
    expect(sysErrorOf(() => sys.mkdirat(dir.fd, "/".repeat(4095), 0o700)).errnoName).toBe("EEXIST");
  });

  test("names that are not UTF-8 are kept", () => {
    using dir = testDirectory();
    const name = new Uint8Array([0x66, 0xff, 0xfe]);
    sys.close(sys.openat2(dir.fd, name, { flags: O_WRONLY | O_CREAT | O_EXCL, mode: 0o600 }));
    const list = sys.openat2(dir.fd, ".", { flags: O_RDONLY | O_DIRECTORY });
    expect(sys.readDirectory(list).map((entry) => [...entry.name])).toEqual([[...name]]);
    sys.close(list);
    sys.unlinkat(dir.fd, name, 0);
  });
});

describe("reading and writing", () => {
  test("at the position and at offsets beyond 4 GiB", () => {
    using dir = testDirectory();
    const fd = sys.openat2(dir.fd, "sparse", { flags: O_RDWR | O_CREAT, mode: 0o600 });
    expect(sys.write(fd, bytes("start"))).toBe(5);
    const far = 5n * 1024n ** 3n;
    expect(sys.pwrite(fd, bytes("end"), far)).toBe(3);
    expect(sys.fstat(fd).size).toBe(far + 3n);
    const buffer = new Uint8Array(8);
    expect(sys.pread(fd, buffer, far)).toBe(3);
    expect(text(buffer.subarray(0, 3))).toBe("end");
    expect(sys.read(fd, buffer.subarray(0, 0))).toBe(0);
    sys.ftruncate(fd, 2n);
    expect(sys.pread(fd, buffer, 0n)).toBe(2);
    sys.close(fd);
    expect(readFileSync(join(dir.path, "sparse"), "utf8")).toBe("st");
  });

  test("holes differ from data", () => {
    using dir = testDirectory();
    const fd = sys.openat2(dir.fd, "sparse", { flags: O_RDWR | O_CREAT, mode: 0o600 });
    expect(sys.nextData(fd, 0n)).toBeUndefined();
    const far = 3n * 1024n ** 3n;
    sys.pwrite(fd, bytes("in the middle"), far);
    sys.ftruncate(fd, far * 2n);
    const part = sys.nextData(fd, 0n)!;
    // A file system without holes reports everything as data.
    expect(part.start <= far && part.end > far).toBe(true);
    expect(sys.nextData(fd, far * 2n)).toBeUndefined();
    sys.close(fd);
    expect(sysErrorOf(() => sys.nextData(fd, 0n)).errnoName).toBe("EBADF");
  });

  test("only the view is written, not the memory around it", () => {
    const [readEnd, writeEnd] = sys.pipe(0);
    sys.write(writeEnd, bytes("abcdef").subarray(2, 4));
    const buffer = new Uint8Array(16);
    expect(sys.read(readEnd, buffer.subarray(4))).toBe(2);
    expect(text(buffer.subarray(4, 6))).toBe("cd");
    sys.close(writeEnd);
    expect(sys.read(readEnd, buffer)).toBe(0);
    sys.close(readEnd);
  });

  test("-1 when it would block", () => {
    const [readEnd, writeEnd] = sys.pipe(O_NONBLOCK);
    expect(sys.read(readEnd, new Uint8Array(1))).toBe(-1);
    const chunk = new Uint8Array(65536);
    let total = 0;
    for (let step = sys.write(writeEnd, chunk); step >= 0; step = sys.write(writeEnd, chunk)) total += step;
    expect(total).toBeGreaterThanOrEqual(4096);
    sys.close(readEnd);
    expect(sysErrorOf(() => sys.write(writeEnd, chunk)).errnoName).toBe("EPIPE");
    sys.close(writeEnd);
  });
});

describe("entries of a directory", () => {
  test("are made, listed with their type, and removed", () => {
    using dir = testDirectory();
    sys.mkdirat(dir.fd, "d", 0o755);
    sys.close(sys.openat2(dir.fd, "f", { flags: O_WRONLY | O_CREAT, mode: 0o644 }));
    sys.symlinkat("the target", dir.fd, "l");
    sys.linkat(dir.fd, "f", dir.fd, "hard", 0);
    sys.mknodat(dir.fd, "p", S_IFIFO | 0o600, 0, 0);
    const list = sys.openat2(dir.fd, ".", { flags: O_RDONLY | O_DIRECTORY });
    const types = (): Record<string, number> =>
      Object.fromEntries(sys.readDirectory(list).map((entry) => [text(entry.name), entry.type]));
    expect(types()).toEqual({ d: DT_DIR, f: DT_REG, hard: DT_REG, l: DT_LNK, p: 1 });
    expect(text(sys.readlinkat(dir.fd, "l"))).toBe("the target");
    expect(sys.fstatat(dir.fd, "f", 0).ino).toBe(sys.fstatat(dir.fd, "hard", 0).ino);
    expect(sys.fstatat(dir.fd, "f", 0).nlink).toBe(2);
    sys.unlinkat(dir.fd, "d", AT_REMOVEDIR);
    for (const name of ["f", "hard", "l", "p"]) sys.unlinkat(dir.fd, name, 0);
    // The same descriptor again: it starts from the first entry.
    expect(types()).toEqual({});
    sys.close(list);
  });

  test("more entries than one buffer holds are all listed", () => {
    using dir = testDirectory();
    const count = 3000;
    for (let index = 0; index < count; index++) sys.symlinkat("x", dir.fd, `${"n".repeat(60)}-${index}`);
    const list = sys.openat2(dir.fd, ".", { flags: O_RDONLY | O_DIRECTORY });
    expect(new Set(sys.readDirectory(list).map((entry) => text(entry.name))).size).toBe(count);
    sys.close(list);
  });

  test("are renamed, and with the flag not over another", () => {
    using dir = testDirectory();
    writeFileSync(join(dir.path, "a"), "a");
    writeFileSync(join(dir.path, "b"), "b");
    const over = (): void => sys.renameat2(dir.fd, "a", dir.fd, "b", RENAME_NOREPLACE);
    expect(sysErrorOf(over).errnoName).toBe("EEXIST");
    sys.renameat2(dir.fd, "a", dir.fd, "b", RENAME_EXCHANGE);
    expect(readFileSync(join(dir.path, "a"), "utf8")).toBe("b");
  });

  test("have modes and times; symlinks are not followed", () => {
    using dir = testDirectory();
    writeFileSync(join(dir.path, "f"), "");
    symlinkSync("f", join(dir.path, "l"));
    sys.fchmodat(dir.fd, "f", 0o4751);
    expect(sys.fstatat(dir.fd, "f", 0).mode).toBe(S_IFREG | 0o4751);
    expect(sysErrorOf(() => sys.fchmodat(dir.fd, "l", 0o600)).errnoName).toBe("EOPNOTSUPP");
    const mtime = 1_234_567_890_123_456_789n;
    sys.utimensat(dir.fd, "l", 1n, mtime);
    sys.utimensat(dir.fd, "f", 5n, -1_500_000_000n);
    expect(sys.fstatat(dir.fd, "l", AT_SYMLINK_NOFOLLOW).mtimeNs).toBe(mtime);
    expect(sys.fstatat(dir.fd, "f", 0).mtimeNs).toBe(-1_500_000_000n);
    const fd = sys.openat2(dir.fd, "f", { flags: O_RDONLY });
    sys.utimensat(fd, "", 7n, 8n);
    expect(sys.fstat(fd).mtimeNs).toBe(8n);
    sys.fchmod(fd, 0o600);
    expect(sys.fstatat(fd, "", AT_EMPTY_PATH).mode & 0o7777).toBe(0o600);
    sys.close(fd);
  });

  test.skipIf(!isRoot)("are owned by ids above 2 million (needs root)", () => {
    using dir = testDirectory();
    symlinkSync("nowhere", join(dir.path, "l"));
    sys.fchownat(dir.fd, "l", 4_000_000_000, 2_100_000);
    const found = sys.fstatat(dir.fd, "l", AT_SYMLINK_NOFOLLOW);
    expect([found.uid, found.gid]).toEqual([4_000_000_000, 2_100_000]);
  });

  test("agree with the runtime's own stat", () => {
    using dir = testDirectory();
    writeFileSync(join(dir.path, "f"), "12345");
    const mine = sys.fstatat(dir.fd, "f", 0);
    const other = statSync(join(dir.path, "f"), { bigint: true });
    expect([mine.dev, mine.ino, mine.size, mine.blocks]).toEqual([other.dev, other.ino, other.size, other.blocks]);
    expect([mine.mtimeNs, mine.atimeNs, mine.ctimeNs]).toEqual([other.mtimeNs, other.atimeNs, other.ctimeNs]);
    expect(mine.mode & S_IFMT).toBe(S_IFREG);
    expect(mine.mountId).toBeGreaterThan(0n);
    const device = sys.fstatat(AT_FDCWD, "/dev/null", 0);
    expect([device.rdevMajor, device.rdevMinor]).toEqual([1, 3]);
  });
});

describe("xattrs", () => {
  test("of files, by name and by descriptor, with any bytes", () => {
    using dir = testDirectory();
    writeFileSync(join(dir.path, "f"), "");
    const value = new Uint8Array([0, 255, 10, 0]);
    sys.setxattrat(dir.fd, "f", "user.fathom", value);
    expect(sys.getxattrat(dir.fd, "f", "user.fathom")).toEqual(value);
    expect(sys.getxattrat(dir.fd, "f", "user.none")).toBeUndefined();
    expect(sys.listxattrat(dir.fd, "f").filter((name) => name.startsWith("user."))).toEqual(["user.fathom"]);
    const fd = sys.openat2(dir.fd, "f", { flags: O_PATH | O_NOFOLLOW });
    sys.setxattrat(fd, "", "user.second", bytes(""));
    expect(sys.getxattrat(fd, "", "user.second")).toEqual(new Uint8Array());
    sys.removexattrat(fd, "", "user.second");
    sys.removexattrat(dir.fd, "f", "user.fathom");
    expect(sys.listxattrat(dir.fd, "f").filter((name) => name.startsWith("user."))).toEqual([]);
    expect(() => sys.removexattrat(dir.fd, "f", "user.fathom")).toThrow("ENODATA");
    sys.close(fd);
  });

  test.skipIf(!isRoot)("of a symlink itself (needs root)", () => {
    using dir = testDirectory();
    writeFileSync(join(dir.path, "f"), "");
    symlinkSync("f", join(dir.path, "l"));
    sys.setxattrat(dir.fd, "l", "trusted.fathom", bytes("link"));
    expect(sys.getxattrat(dir.fd, "f", "trusted.fathom")).toBeUndefined();
    expect(text(sys.getxattrat(dir.fd, "l", "trusted.fathom") ?? bytes(""))).toBe("link");
  });
});

test("a lock is held by one open file at a time", () => {
  using dir = testDirectory();
  const first = sys.openat2(dir.fd, "lock", { flags: O_RDWR | O_CREAT, mode: 0o600 });
  const second = sys.openat2(dir.fd, "lock", { flags: O_RDWR });
  expect([sys.tryFlock(first, true), sys.tryFlock(second, true), sys.tryFlock(second, false)]).toEqual([
    true,
    false,
    false,
  ]);
  sys.close(first);
  expect(sys.tryFlock(second, true)).toBe(true);
  sys.close(second);
});

test("a sealed memory file cannot be changed", () => {
  const fd = sys.memfdCreate("sealed", bytes("content"), true);
  const buffer = new Uint8Array(16);
  expect(text(buffer.subarray(0, sys.read(fd, buffer)))).toBe("content");
  expect(sysErrorOf(() => sys.pwrite(fd, bytes("X"), 0n)).errnoName).toBe("EPERM");
  expect(sysErrorOf(() => sys.ftruncate(fd, 0n)).errnoName).toBe("EPERM");
  expect(sysErrorOf(() => sys.ftruncate(fd, 100n)).errnoName).toBe("EPERM");
  sys.close(fd);
});

test("statfs gives sizes, umask the mask before", () => {
  const found = sys.statfs("/proc");
  expect(found.type).toBe(0x9fa0n);
  expect(sys.statfs("/tmp").blocks).toBeGreaterThan(0n);
  const before = sys.umask(0o77);
  expect(sys.umask(before)).toBe(0o77);
});
