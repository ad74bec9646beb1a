/** Known ways out of a container, by the numbers of the faults in other runtimes, tried with `fathom-runc`. */
import { afterAll, afterEach, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { binary } from "../daemon/harness.ts";
import { defaultMounts, RuncRig } from "./rig.ts";

const rig = new RuncRig();
afterEach(async () => {
  await rig.clean();
  expect(rig.left()).toEqual([]);
});
afterAll(() => rig[Symbol.dispose]());

const secret = "only-on-the-host";
writeFileSync(join(rig.base, "secret"), secret);
/** Prints the secret when the working directory is on the host. */
const climb = `p=; for i in 1 2 3 4 5 6 7 8; do p=../$p; cat "$p"${rig.base.slice(1)}/secret 2>/dev/null; done; echo looked`;

test("CVE-2024-21626: a working directory through a descriptor of the runtime", async () => {
  await rig.ok("run", "--detach", "--bundle", rig.bundle({ args: ["sleep", "1000"] }), "two");
  for (let fd = 3; fd < 24; fd++)
    for (const cwd of [`/proc/self/fd/${fd}`, `/proc/self/fd/${fd}/../..`]) {
      const bundle = rig.bundle({ args: ["sh", "-c", climb], process: { cwd } });
      const made = await rig.call("run", "--bundle", bundle, "one");
      const joined = await rig.call("exec", "--cwd", cwd, "two", "sh", "-c", climb);
      for (const { code, out } of [made, joined]) {
        expect(out).not.toContain(secret);
        expect(code === 0 ? out : "").toMatch(/^(looked\n)?$/);
      }
    }
}, 120_000);

test("CVE-2019-5736: the program of a container cannot reach the runtime's own file", async () => {
  const before = Bun.hash(readFileSync(binary));
  const bundle = rig.bundle({ args: ["sleep", "1000"] });
  await rig.ok("create", "--bundle", bundle, "one");
  const { pid } = JSON.parse(await rig.ok("state", "one"));
  // While it waits, the container can see this process: its program is a sealed memory file, and no file of the host.
  expect(readlinkSync(`/proc/${pid}/exe`)).toStartWith("/memfd:fathom-init");
  const write = "for exe in /proc/[0-9]*/exe; do (echo x >> $exe) 2>/dev/null && echo wrote; done; echo tried";
  expect(await rig.ok("exec", "one", "sh", "-c", write)).not.toContain("wrote");
  await rig.call("exec", "one", "/proc/self/exe");
  await rig.call("exec", "one", "/proc/1/exe");
  expect(Bun.hash(readFileSync(binary))).toBe(before);
});

test("CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /proc or /sys is a link in the image", async () => {
  for (const name of ["proc", "sys"]) {
    const place = join(rig.rootfs, name);
    rmSync(place, { recursive: true });
    symlinkSync("/tmp", place);
    try {
      const { code, err } = await rig.call("create", "--bundle", rig.bundle(), "one");
      expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("must be a directory and no link") });
    } finally {
      rmSync(place);
      mkdirSync(place);
    }
  }
});

test("CVE-2021-30465, CVE-2024-45310: a link in the image leads a mount or a new file out of the root", async () => {
  const outside = join(rig.base, "outside");
  mkdirSync(outside);
  const link = join(rig.rootfs, "tmp/out");
  for (const target of [outside, `${"../".repeat(20)}${outside.slice(1)}`]) {
    symlinkSync(target, link);
    const mount = { destination: "/tmp/out/made/x", type: "bind", source: "/usr/share", options: ["bind", "ro"] };
    const device = { path: "/tmp/out/node", type: "c", major: 1, minor: 3 };
    const bundle = rig.bundle({
      args: ["true"],
      mounts: [...defaultMounts, mount],
      process: { cwd: "/tmp/out/directory" },
      linux: { devices: [device] },
    });
    await rig.call("run", "--bundle", bundle, "one");
    expect(readdirSync(outside)).toEqual([]);
    rmSync(link);
  }
});

test("CVE-2025-31133: /dev/null of the image is another file, and would show what a mask hides", async () => {
  const place = join(rig.rootfs, "dev/null");
  const mounts = defaultMounts.filter(({ destination }) => !destination.startsWith("/dev"));
  const look = (): ReturnType<typeof rig.call> =>
    rig.call("run", "--bundle", rig.bundle({ args: ["sh", "-c", "stat -c %t:%T /proc/keys"], mounts }), "one");
  // The host's own device hides the path then.
  symlinkSync("/proc/sys/kernel/core_pattern", place);
  expect(await look()).toMatchObject({ code: 0, out: "1:3\n" });
  rmSync(place);
  writeFileSync(place, "fake");
  expect(await look()).toMatchObject({ code: 1, err: expect.stringContaining("/dev/null is not the null device") });
  rmSync(place);
  for (const name of readdirSync(join(rig.rootfs, "dev"))) rmSync(join(rig.rootfs, "dev", name), { recursive: true });
});

test("CVE-2022-29162: no capability becomes inheritable", async () => {
  await rig.ok("run", "--detach", "--bundle", rig.bundle({ args: ["sleep", "1000"] }), "one");
  const look = ["grep", "-E", "CapInh|CapPrm", "/proc/self/status"];
  expect(await rig.ok("exec", "--cap", "CAP_SYS_ADMIN", "one", ...look)).toBe(
    "CapInh:\t0000000000000000\nCapPrm:\t0000000020200420\n",
  );
});

test("CVE-2016-9962: an exec has nothing of the runtime", async () => {
  await rig.ok("run", "--detach", "--bundle", rig.bundle({ args: ["sleep", "1000"] }), "one");
  expect(await rig.ok("exec", "one", "sh", "-c", "echo /proc/self/fd/*")).toMatch(
    /^\/proc\/self\/fd\/0 \/proc\/self\/fd\/1 \/proc\/self\/fd\/2( \/proc\/self\/fd\/\d+)?\n$/,
  );
  expect(existsSync("/run/runc/one")).toBe(false);
});
