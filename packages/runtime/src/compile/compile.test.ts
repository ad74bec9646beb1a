import { expect, test } from "bun:test";
import type { OciSpec } from "@fathom/spec";
import { compile } from "./compile.ts";
import { kinds, options, spec, texts, type Change } from "../testing/plan-fixture.ts";

test("a plan is completely frozen, but the configuration that it came from is not", () => {
  const given = spec();
  const plan = compile(given, options);
  const exec = plan.operations.at(-1);
  expect(exec?.kind === "exec" && Object.isFrozen(exec.argv) && Object.isFrozen(plan.stem.cgroupProcs)).toBe(true);
  expect(Object.isFrozen(given.process?.args) || Object.isFrozen(options.rootfs)).toBe(false);
});

test("host, joined and new namespaces", () => {
  const plan = compile(
    spec({
      hostname: "",
      linux: {
        namespaces: [
          { type: "mount" },
          { type: "pid", path: "/proc/7/ns/pid" },
          { type: "ipc", path: "/proc/7/ns/ipc" },
        ],
        sysctl: {},
      },
    }),
    options,
  );
  expect(plan.stem).toEqual({
    newNamespaces: ["mount"],
    cgroupProcs: ["/sys/fs/cgroup/pids/fathom/c/cgroup.procs"],
    joinPidNamespace: "/proc/7/ns/pid",
  });
  expect(plan.operations[0]).toEqual({ kind: "join-namespace", namespace: "ipc", path: "/proc/7/ns/ipc" });
  // Without a network namespace of its own, the container has no loopback of its own.
  expect(kinds(plan.operations)).not.toContain("loopback-up");
});

test("a user namespace brings its maps, and binds the nodes that it cannot make", () => {
  const namespaces = ["user", "mount", "uts"].map((type) => ({ type }));
  const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const plan = compile(spec({ linux: { namespaces, uidMappings: map, gidMappings: map, sysctl: {} } }), options);
  expect(plan.stem.uidMap).toEqual([{ containerId: 0, hostId: 100_000, size: 65_536 }]);
  expect(kinds(plan.operations)).not.toContain("make-node");
  expect(plan.operations).toContainEqual({
    kind: "bind",
    source: "/dev/null",
    recursive: false,
    attributes: { set: [] },
    target: "/dev/null",
    create: true,
  });
  expect(() => compile(spec({ linux: { namespaces, sysctl: {} } }), options)).toThrow(/uidMappings/);
});

test("with shared propagation the container's root is still not visible outside", () => {
  const shared = spec();
  const of: OciSpec = { ...shared, linux: { ...shared.linux, rootfsPropagation: "shared" } };
  const operations = compile(of, { ...options, atMountPoint: "/run" }).operations;
  expect(operations.slice(0, 2)).toEqual([
    { kind: "root-propagation", propagation: "shared" },
    { kind: "root-propagation", propagation: "private", path: "/run" },
  ]);
  expect(operations).toContainEqual({
    kind: "mount-attributes",
    target: "/",
    attributes: { set: [] },
    propagation: "shared",
  });
  expect(() => compile(of, options)).toThrow(/atMountPoint/);
  expect(() => compile({ ...of, linux: { ...of.linux, rootfsPropagation: "sideways" } }, options)).toThrow(/sideways/);
});

test("anything that would reach the host is rejected", () => {
  const mount = (destination: string, type: string, source: string): OciSpec =>
    spec({ mounts: [{ destination, type, source, options: [] }] });
  const cases: readonly [OciSpec, RegExp][] = [
    [mount("/proc", "tmpfs", "tmpfs"), /"\/proc" cannot be mounted because it is not of type proc/],
    [mount("/proc", "bind", "/tmp/fake"), /not of type proc/],
    [mount("/x/../proc/self", "bind", "/tmp"), /"\/proc\/self" cannot be mounted because it is inside \/proc/],
    [mount("/m", "bind", "relative"), /not an absolute path/],
    [mount("/m", "", "x"), /needs a type/],
    [mount(`/${"x".repeat(5000)}`, "tmpfs", "x"), /longer than 4095/],
    [mount("/a\0b", "tmpfs", "x"), /NUL/],
    [spec({ linux: { namespaces: [{ type: "pid" }] } }), /a new mount namespace is needed/],
    [spec({ linux: { namespaces: [{ type: "mount" }, { type: "mount" }] } }), /"mount" is there twice/],
    [spec({ linux: { namespaces: [{ type: "mount" }], sysctl: {} } }), /would rename the host/],
    [
      spec({ hostname: "", linux: { namespaces: [{ type: "mount" }] } }),
      /sysctl "net.ipv4.ip_forward" not allowed in host network namespace/,
    ],
    [
      spec({ linux: { namespaces: [{ type: "mount" }, { type: "uts" }], sysctl: { "kernel.msgmax": "1" } } }),
      /not allowed in the hosts ipc namespace/,
    ],
    [
      spec({ linux: { namespaces: [{ type: "mount" }, { type: "uts" }], sysctl: { "kernel.panic": "1" } } }),
      /sysctl "kernel.panic" is not in a separate kernel namespace/,
    ],
    [
      spec({ linux: { namespaces: [{ type: "mount" }, { type: "uts" }], sysctl: { "net/../vm/x": "1" } } }),
      /not the name of a kernel parameter/,
    ],
    [
      spec({ linux: { namespaces: [{ type: "mount" }, { type: "uts" }], sysctl: {}, maskedPaths: ["relative"] } }),
      /maskedPaths/,
    ],
  ];
  for (const [of, message] of cases) expect(() => compile(of, options)).toThrow(message);
  expect(texts(mount("/proc/meminfo", "bind", "/lxcfs/meminfo"), "bind")).toHaveLength(1);
});

test("the error for a member that is not supported yet names it", () => {
  for (const [change, name] of [
    [{ process: { apparmorProfile: "x" } }, "process.apparmorProfile"],
    [{ hooks: { prestart: [{ path: "/bin/true" }] } }, "hooks"],
    [{ linux: { namespaces: [{ type: "mount" }], memoryPolicy: { mode: "MPOL_BIND" } } }, "linux.memoryPolicy"],
  ] as const)
    expect(() => compile(spec(change as Change), options)).toThrow(
      expect.objectContaining({ code: "not-implemented", message: expect.stringContaining(name) }),
    );
});
