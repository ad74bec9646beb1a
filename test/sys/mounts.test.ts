/** The mount calls on the real kernel. Needs root. All mounts here are detached, so nothing can be left behind. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  AT_FDCWD,
  createSys,
  isSysError,
  MNT_DETACH,
  O_CREAT,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_BENEATH,
} from "@fathom/sys";
import { createCallContext, loadNative, openOverlay } from "@fathom/sys/testing";
import { temporaryDirectory } from "@fathom/base/testing";

const sys = createSys();

/** Layers with one file each, the uppermost first, and one file that all of them have. */
function layers(path: string, count: number, prefix = "layer"): string[] {
  return Array.from({ length: count }, (_, index) => {
    const layer = join(path, `${prefix}${index}`);
    mkdirSync(layer);
    writeFileSync(join(layer, `only-${index}`), String(index));
    writeFileSync(join(layer, "shared"), String(index));
    return layer;
  });
}

function read(mountFd: number, name: string): string {
  const fd = sys.openat2(mountFd, name, { flags: O_RDONLY, resolve: RESOLVE_BENEATH });
  const buffer = new Uint8Array(64);
  const length = sys.read(fd, buffer);
  sys.close(fd);
  return Buffer.from(buffer.subarray(0, length)).toString();
}

const mountCount = (): number => readFileSync("/proc/self/mountinfo", "utf8").split("\n").length;

describe("openOverlay", () => {
  for (const count of [1, 2, 125, 400]) {
    test(`${count} layers`, () => {
      using dir = temporaryDirectory("mounts");
      // A single layer needs an upper one; two lower ones give a read-only view.
      mkdirSync(join(dir.path, "upper"));
      mkdirSync(join(dir.path, "work"));
      const before = mountCount();
      const fd = sys.openOverlay({
        lower: layers(dir.path, count),
        upper: join(dir.path, "upper"),
        work: join(dir.path, "work"),
      });
      expect(read(fd, "shared")).toBe("0");
      expect(read(fd, `only-${count - 1}`)).toBe(String(count - 1));
      const file = sys.openat2(fd, "new", { flags: O_WRONLY | O_CREAT, mode: 0o600 });
      sys.write(file, Buffer.from("written"));
      sys.close(file);
      expect(mountCount()).toBe(before);
      sys.close(fd);
      expect(readFileSync(join(dir.path, "upper/new"), "utf8")).toBe("written");
    });
  }

  test("125 layers as for kernels before 6.8", () => {
    using dir = temporaryDirectory("mounts");
    mkdirSync(join(dir.path, "upper, and: more"));
    mkdirSync(join(dir.path, "work"));
    const before = mountCount();
    const mount = {
      lower: layers(dir.path, 125, "a:b"),
      upper: join(dir.path, "upper, and: more"),
      work: join(dir.path, "work"),
    };
    const fd = openOverlay(createCallContext(loadNative()), mount, true);
    expect(mountCount()).toBe(before);
    expect(read(fd, "only-124")).toBe("124");
    sys.close(sys.openat2(fd, "new", { flags: O_WRONLY | O_CREAT, mode: 0o600 }));
    const target = join(dir.path, "target");
    mkdirSync(target);
    sys.moveMount(fd, AT_FDCWD, target);
    sys.close(fd);
    sys.umount(target, 0);
    expect(readFileSync(join(dir.path, "upper, and: more/new"), "utf8")).toBe("");
  });

  test("separators in names are part of the name", () => {
    using dir = temporaryDirectory("mounts");
    const lower = [...layers(dir.path, 1, "a:b,c\\d"), ...layers(dir.path, 1, "plain")];
    const fd = sys.openOverlay({ lower });
    expect(read(fd, "shared")).toBe("0");
    sys.close(fd);
  });

  test("the error names a missing layer", () => {
    using dir = temporaryDirectory("mounts");
    const missing = join(dir.path, "gone");
    let caught: unknown;
    try {
      sys.openOverlay({ lower: [...layers(dir.path, 2), missing] });
    } catch (error) {
      caught = error;
    }
    expect(isSysError(caught, "ENOENT") && caught.message).toContain(missing);
  });

  test("one lower directory without an upper is rejected", () => {
    using dir = temporaryDirectory("mounts");
    expect(() => sys.openOverlay({ lower: layers(dir.path, 1) })).toThrow(
      "fsconfig overlay with 1 layers: Invalid argument (EINVAL)",
    );
  });
});

test("a detached mount is attached and released", () => {
  using dir = temporaryDirectory("mounts");
  const target = join(dir.path, "target");
  mkdirSync(target);
  const fd = sys.openOverlay({ lower: layers(dir.path, 2) });
  sys.moveMount(fd, AT_FDCWD, target);
  try {
    expect(readFileSync(join(target, "only-1"), "utf8")).toBe("1");
    const attached = sys.open(target, O_PATH | O_DIRECTORY);
    const outside = sys.fstatat(AT_FDCWD, dir.path, 0).mountId;
    expect(sys.fstat(attached).mountId).not.toBe(outside);
    sys.close(attached);
  } finally {
    sys.close(fd);
    sys.umount(target, MNT_DETACH);
  }
  expect(sys.readDirectory(sys.open(target, O_RDONLY | O_DIRECTORY))).toEqual([]);
});

test("mount and umount by path", () => {
  using dir = temporaryDirectory("mounts");
  sys.mount("tmpfs", dir.path, "tmpfs", 0, "size=64k,mode=700");
  try {
    expect(sys.statfs(dir.path).blocks * sys.statfs(dir.path).blockSize).toBe(65536n);
  } finally {
    sys.umount(dir.path, 0);
  }
  let caught: unknown;
  try {
    sys.umount(dir.path, 0);
  } catch (error) {
    caught = error;
  }
  expect(isSysError(caught, "EINVAL") && caught.message).toBe(`umount2 ${dir.path}: Invalid argument (EINVAL)`);
});
