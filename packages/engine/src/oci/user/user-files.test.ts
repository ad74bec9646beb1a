import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHostFiles, createSys, O_DIRECTORY, O_PATH, S_IFIFO, type Sys, helperExecutable } from "@fathom/sys";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserLookup } from "./user-files.ts";

let root: string;
let rootFd: number;
let read: number;
let opened: number;
const real = createSys();
/** Counts what is read, and what is opened for that. */
const sys: Sys = {
  ...real,
  pread(...args) {
    const count = real.pread(...args);
    read += count;
    return count;
  },
  open(...args) {
    opened++;
    return real.open(...args);
  },
};
const files = createHostFiles({ sys: real, executable: () => helperExecutable(real) });

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "fathom-users-"));
  mkdirSync(join(root, "etc"));
  rootFd = real.open(root, O_PATH | O_DIRECTORY);
  read = opened = 0;
});
afterEach(() => {
  real.close(rootFd);
  const left = readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(root);
    } catch {
      return false;
    }
  });
  rmSync(root, { recursive: true });
  expect(left).toEqual([]);
});

const write = (name: string, text: string): void => writeFileSync(join(root, "etc", name), text);
/** As for a file that has not changed recently: the change time cannot be set, so the test sets the clock. */
async function later<T>(action: () => Promise<T>): Promise<T> {
  const now = Date.now;
  Date.now = () => now() + 10_000;
  try {
    return await action();
  } finally {
    Date.now = now;
  }
}

test("a huge file is read in parts, other work has its turn, and the answer is kept", async () => {
  const line = (index: number): string => `user${index}:x:${index + 1000}:100::/home/${index}:/bin/sh\n`;
  write("passwd", Array.from({ length: 300_000 }, (_, index) => line(index)).join(""));
  write("group", "wheel:x:10:user299999");
  const users = new UserLookup(sys, files);
  let turns = 0;
  let ended = false;
  const others = (async () => {
    while (!ended) {
      await new Promise(setImmediate);
      turns++;
    }
  })();
  const find = (): Promise<unknown> => later(() => users.inRoot(rootFd, "user299999", []));
  const expected = { uid: 300_999, gid: 100, additionalGids: [100, 10], home: "/home/299999" };
  expect(await find()).toEqual(expected);
  ended = true;
  await others;
  expect(turns).toBeGreaterThan(50);
  read = 0;
  expect(await find()).toEqual(expected);
  expect(read).toBe(0);
  // Another content is another file, whatever its time.
  appendFileSync(join(root, "etc/group"), ",root\nmore:x:11:user299999\n");
  utimesSync(join(root, "etc/group"), 1, 1);
  expect(await find()).toEqual({ ...expected, additionalGids: [100, 10, 11] });
});

test("the first user of a huge file is found in its first part", async () => {
  write("passwd", `root:x:0:0::/root:/bin/sh\n${"x:x:1:1:::\n".repeat(1_000_000)}`);
  const users = new UserLookup(sys, files);
  expect(await users.inRoot(rootFd, "0:0", [])).toMatchObject({ uid: 0, home: "/root" });
  expect(read).toBeLessThan(100_000);
});

test("an answer about files that have just changed is not kept", async () => {
  write("passwd", "a:x:1:1::/a:");
  const users = new UserLookup(sys, files);
  expect(await users.inRoot(rootFd, "a", [])).toMatchObject({ uid: 1 });
  read = 0;
  expect(await users.inRoot(rootFd, "a", [])).toMatchObject({ uid: 1 });
  expect(read).toBeGreaterThan(0);
});

test("lines at the edges of parts, longer than a part, longer than the limit, and a last line without an end", async () => {
  const comment = "c".repeat(65_000);
  write(
    "passwd",
    `a:x:1:1:${comment}:/a:\nb:x:2:2:${comment}:/b:\nlong:x:3:3:${"y".repeat(2 << 20)}:/l:\nend:x:4:4::/e:`,
  );
  const users = new UserLookup(sys, files);
  const uid = async (name: string): Promise<number> => (await users.inRoot(rootFd, name, [])).uid;
  expect([await uid("a"), await uid("b"), await uid("end")]).toEqual([1, 2, 4]);
  await expect(uid("long")).rejects.toThrow("unable to find user long");
});

test("a FIFO, a directory, a link out of the root, a file above the limit, no file", async () => {
  const users = new UserLookup(sys, files);
  const root0 = { uid: 0, gid: 0, additionalGids: [0], home: "/" };
  expect(await users.inRoot(rootFd, "", [])).toEqual(root0);
  real.mknodat(rootFd, "etc/passwd", S_IFIFO | 0o600, 0, 0);
  mkdirSync(join(root, "etc/group"));
  expect(await users.inRoot(rootFd, "", [])).toEqual(root0);
  // Opening a device in its place would start the device.
  expect(opened).toBe(0);
  rmSync(join(root, "etc/passwd"));
  // Inside the root there is no such file, but the host has one.
  symlinkSync("../../../../etc/passwd", join(root, "etc/passwd"));
  expect(await users.inRoot(rootFd, "", [])).toEqual(root0);
  rmSync(join(root, "etc/group"), { recursive: true });
  write("group", "");
  truncateSync(join(root, "etc/group"), 2 ** 40);
  await expect(users.inRoot(rootFd, "", [])).rejects.toThrow(/the image's \/etc\/group has 1099511627776 bytes/);
});

test("for a process: the files of its root", async () => {
  const mine = await new UserLookup(sys, files).ofProcess(process.pid, "0:0", []);
  expect(mine).toMatchObject({ uid: 0, gid: 0 });
});

test("for a process whose root may not be local: the helper reads the files", async () => {
  const foreign = { ...files, isLocal: () => false };
  const found = await later(() => new UserLookup(sys, foreign).ofProcess(process.pid, "0:0", []));
  expect(found).toEqual(await new UserLookup(sys, files).ofProcess(process.pid, "0:0", []));
});
