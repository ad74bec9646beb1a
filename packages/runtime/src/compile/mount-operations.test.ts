import { expect, test } from "bun:test";
import type { OciSpec } from "@fathom/spec";
import { compile } from "./compile.ts";
import type { Operation } from "../plan/plan.ts";
import { kinds, options, spec, texts, unified } from "../testing/plan-fixture.ts";

test("cgroups without a namespace are bound, and on v2 there is one mount", () => {
  const namespaces = ["mount", "uts", "network"].map((type) => ({ type }));
  const bound = compile(spec({ linux: { namespaces } }), options).operations;
  expect(bound).toContainEqual({
    kind: "bind",
    source: "/sys/fs/cgroup/cpu,cpuacct/fathom/c",
    recursive: true,
    attributes: { set: ["readonly", "nosuid", "nodev", "noexec"] },
    propagation: "rprivate",
    target: "/sys/fs/cgroup/cpu,cpuacct",
    create: true,
  });
  const inUnified = (of: OciSpec): Operation[] =>
    compile(of, { ...options, cgroup: unified }).operations.filter(
      (operation) => "target" in operation && operation.target.startsWith("/sys/fs/cgroup"),
    );
  expect(inUnified(spec())).toEqual([
    {
      kind: "mount",
      type: "cgroup2",
      source: "cgroup",
      options: [],
      attributes: { set: ["readonly", "nosuid", "noexec", "nodev"] },
      target: "/sys/fs/cgroup",
      create: "directory",
    },
  ]);
  expect(inUnified(spec({ linux: { namespaces } }))).toEqual([
    {
      kind: "bind",
      source: "/sys/fs/cgroup",
      recursive: true,
      attributes: { set: ["readonly", "nosuid", "noexec", "nodev"] },
      target: "/sys/fs/cgroup",
      create: true,
    },
  ]);
});

function mounts(type: string, ...words: string[]): Operation[] {
  return compile(
    spec({ mounts: [{ destination: "/m/", type, source: "/s", options: words }] }),
    options,
  ).operations.filter((operation) => "target" in operation && operation.target === "/m");
}

test("mount option words", () => {
  expect(mounts("bind", "rbind", "ro", "rslave")).toEqual([
    {
      kind: "bind",
      source: "/s",
      recursive: true,
      attributes: { set: ["readonly"] },
      propagation: "rslave",
      target: "/m",
      create: true,
    },
  ]);
  expect(mounts("none", "bind", "rro", "rnosuid")).toEqual([
    {
      kind: "bind",
      source: "/s",
      recursive: false,
      attributes: { set: ["readonly", "nosuid"], clear: [], recursive: true },
      target: "/m",
      create: true,
    },
  ]);
  expect(mounts("bind", "rw", "noexec", "rnodev", "private", "unbindable")).toEqual([
    {
      kind: "bind",
      source: "/s",
      recursive: false,
      attributes: { set: ["noexec"], clear: ["readonly"] },
      propagation: "private",
      target: "/m",
      create: true,
    },
    { kind: "mount-attributes", target: "/m", attributes: { set: ["nodev"], clear: [], recursive: true } },
    { kind: "mount-attributes", target: "/m", attributes: { set: [] }, propagation: "unbindable" },
  ]);
  // The last word of each kind counts. Words that mount(8) does not know are passed to the file system.
  expect(
    mounts("tmpfs", "ro", "rw", "noatime", "relatime", "size=1m", "huge", "tmpcopyup", "defaults", "lazytime"),
  ).toEqual([
    {
      kind: "mount",
      type: "tmpfs",
      source: "/s",
      options: [["size", "1m"], ["huge"], ["lazytime"]],
      attributes: { set: ["relatime"], clear: ["readonly"] },
      target: "/m",
      create: "directory",
      copyUp: true,
    },
  ]);
  expect(mounts("bind", "remount", "ro")).toEqual([
    { kind: "mount-attributes", target: "/m", attributes: { set: ["readonly"] } },
  ]);
});

test("a read-only /dev is filled before it becomes read-only, a bound one does not change", () => {
  const readonly = spec({ mounts: [{ destination: "/dev", type: "tmpfs", options: ["ro", "mode=755"] }] });
  const operations = compile(readonly, options).operations;
  const at = operations.findIndex((operation) => operation.kind === "mount-attributes");
  expect(operations[at]).toEqual({ kind: "mount-attributes", target: "/dev", attributes: { set: ["readonly"] } });
  expect(at).toBeGreaterThan(kinds(operations).lastIndexOf("make-node"));
  const bound = spec({ mounts: [{ destination: "/dev/", type: "bind", source: "/dev", options: ["rbind"] }] });
  expect(kinds(compile(bound, options).operations)).not.toContain("make-node");
});

test("devices of the configuration replace and extend the usual ones; the terminal's are never the host's", () => {
  const devices = [
    { type: "c", path: "/dev/null", major: 1, minor: 3, fileMode: 0o600, uid: 5, gid: 6 },
    { type: "b", path: "/dev/sdz", major: 8, minor: 400 },
    { type: "p", path: "/dev/fifo" },
    { type: "c", path: "/dev/ptmx", major: 5, minor: 2 },
    { type: "c", path: "/dev/console", major: 5, minor: 1 },
  ];
  const nodes = texts(
    spec({ linux: { namespaces: [{ type: "mount" }, { type: "uts" }, { type: "network" }], devices } }),
    "make-node",
  );
  expect(nodes).toContain("make the character device /dev/null (1:3), mode 0600, owner 5:6");
  expect(nodes).toContain("make the block device /dev/sdz (8:400), mode 0666");
  expect(nodes).toContain("make the FIFO /dev/fifo, mode 0666");
  expect(nodes.join()).not.toMatch(/ptmx|console/);
  const wrong = [{ type: "c", path: "/dev/x", major: 70_000, minor: 0 }];
  expect(() =>
    compile(spec({ linux: { namespaces: [{ type: "mount" }], devices: wrong, sysctl: {} } }), options),
  ).toThrow(/out of range/);
});
