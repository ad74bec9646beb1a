import { expect, test } from "bun:test";
import { checkOciSpec, type OciSpec } from "@fathom/spec/oci-runtime";
import { compile, compileExec, type CompileOptions } from "./compile.ts";
import { describeOperation, explain, planToJson } from "./explain.ts";
import type { Operation } from "./plan.ts";

const options: CompileOptions = {
  rootfs: { kind: "overlay", lower: ["/l/B", "/l/A"], upper: "/o/diff", work: "/o/work" },
  at: "/run/fathom/rootfs",
  cgroup: {
    procsFiles: ["/sys/fs/cgroup/pids/fathom/c/cgroup.procs"],
    hierarchies: [
      {
        version: 1,
        mountPoint: "/sys/fs/cgroup/cpu,cpuacct",
        directory: "/sys/fs/cgroup/cpu,cpuacct/fathom/c",
        selectors: [["cpu"], ["cpuacct"]],
      },
      {
        version: 1,
        mountPoint: "/sys/fs/cgroup/systemd",
        directory: "/sys/fs/cgroup/systemd/fathom/c",
        selectors: [["name", "systemd"]],
      },
    ],
  },
  architecture: "x86_64",
};
const unified: CompileOptions["cgroup"] = {
  procsFiles: ["/sys/fs/cgroup/fathom/c/cgroup.procs"],
  hierarchies: [{ version: 2, mountPoint: "/sys/fs/cgroup", directory: "/sys/fs/cgroup/fathom/c", selectors: [] }],
};

type Change = Omit<Partial<OciSpec>, "process" | "linux"> & { readonly process?: object; readonly linux?: object };

/** A configuration of the parts that most containers have; `change` is laid over it. */
function spec(change: Change = {}): OciSpec {
  const { process, linux, ...rest } = change;
  return checkOciSpec({
    ociVersion: "1.3.0",
    hostname: "c0ffee",
    root: { path: "rootfs" },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"] },
      { destination: "/etc/hosts", type: "bind", source: "/c/hosts", options: ["rbind", "rprivate"] },
    ],
    ...rest,
    process: {
      args: ["sh", "-c", "true"],
      env: ["PATH=/usr/bin:/bin", "A=1", "A=2"],
      cwd: "/work",
      user: { uid: 1000, gid: 100, additionalGids: [100, 5] },
      capabilities: { bounding: ["CAP_CHOWN", "CAP_KILL"], effective: ["CAP_CHOWN"], permitted: ["CAP_CHOWN"] },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }],
      oomScoreAdj: 0,
      ...process,
    },
    linux: {
      namespaces: ["mount", "pid", "network", "ipc", "uts", "cgroup"].map((type) => ({ type })),
      sysctl: { "net.ipv4.ip_forward": "0" },
      maskedPaths: ["/proc/kcore"],
      readonlyPaths: ["/proc/sys"],
      ...linux,
    },
  });
}

function kinds(operations: readonly Operation[]): string[] {
  return operations.map((operation) => operation.kind);
}

function texts(of: OciSpec, kind: Operation["kind"], change: Partial<CompileOptions> = {}): string[] {
  return compile(of, { ...options, ...change })
    .operations.filter((operation) => operation.kind === kind)
    .map(describeOperation);
}

test("the whole plan of a usual container", () => {
  const plan = compile(spec(), options);
  expect(explain(plan)).toBe(`A new process
      in new namespaces of its own: mount, pid, network, ipc, uts, cgroup
      limited and counted by the cgroup /sys/fs/cgroup/pids/fathom/c

Root file system
   1. host mounts seen here: later mounts of the host come in, none goes out (rslave)
   2. lay the image's layers over each other as root (overlay), at /run/fathom/rootfs
        writes go to /o/diff
        layer /l/B
        layer /l/A

What is mounted in it
   3. mount a new proc on /proc, nosuid, noexec, nodev
   4. mount a new tmpfs on /dev, nosuid, strictatime, options mode=755,size=65536k
   5. mount a new tmpfs on /sys/fs/cgroup, nosuid, nodev, noexec, options mode=755
   6. mount a new cgroup on /sys/fs/cgroup/cpu,cpuacct, read-only, nosuid, nodev, noexec, options cpu,cpuacct
   7. link /sys/fs/cgroup/cpu to cpu,cpuacct
   8. link /sys/fs/cgroup/cpuacct to cpu,cpuacct
   9. mount a new cgroup ("systemd") on /sys/fs/cgroup/systemd, read-only, nosuid, nodev, noexec, options name=systemd
  10. change the mount /sys/fs/cgroup, read-only
  11. show the host's /c/hosts at /etc/hosts, later mounts neither come in nor go out (rprivate)

Devices and links
  12. make the character device /dev/null (1:3), mode 0666
  13. make the character device /dev/zero (1:5), mode 0666
  14. make the character device /dev/full (1:7), mode 0666
  15. make the character device /dev/random (1:8), mode 0666
  16. make the character device /dev/urandom (1:9), mode 0666
  17. make the character device /dev/tty (5:0), mode 0666
  18. link /dev/ptmx to pts/ptmx
  19. link /dev/fd to /proc/self/fd
  20. link /dev/stdin to /proc/self/fd/0
  21. link /dev/stdout to /proc/self/fd/1
  22. link /dev/stderr to /proc/self/fd/2
  23. link /dev/core to /proc/kcore
  24. make the directory /work if it is missing, mode 0755

Hidden and read-only paths
  25. make /proc/sys read-only
  26. hide /proc/kcore
  27. make it the root, and let go of the host's (pivot_root)

Names and kernel parameters
  28. set the host name to c0ffee
  29. set the kernel parameter net/ipv4/ip_forward to "0"
  30. bring the loopback interface up

Limits, identity and rights of the process
  31. start a session of its own
  32. set the out-of-memory score adjustment to 0
  33. set the umask to 0022
  34. limit RLIMIT_NOFILE to 100 (at most 200)
  35. give up for good all capabilities but chown kill
  36. go to /work
  37. become user 1000, group 100, further groups 100, 5
  38. hold the capabilities chown

The program
  39. execute sh -c true
        looked for at /usr/bin/sh, /bin/sh
        env PATH=/usr/bin:/bin
        env A=2
`);
});

test("a plan is frozen through and through, and the configuration it came from is not", () => {
  const given = spec();
  const plan = compile(given, options);
  const exec = plan.operations.at(-1);
  expect(exec?.kind === "exec" && Object.isFrozen(exec.argv) && Object.isFrozen(plan.stem.cgroupProcs)).toBe(true);
  expect(Object.isFrozen(given.process?.args) || Object.isFrozen(options.rootfs)).toBe(false);
});

test("JSON form keeps every operation and spells masks out", () => {
  const parsed: unknown = JSON.parse(planToJson(compile(spec(), options)));
  expect(parsed).toMatchObject({
    version: 1,
    operations: expect.arrayContaining([
      { kind: "bounding-set", keep: ["CAP_CHOWN", "CAP_KILL"] },
      { kind: "rlimit", resource: "RLIMIT_NOFILE", soft: "100", hard: "200" },
    ]),
  });
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
  // Without a network namespace of its own there is no loopback of its own.
  expect(kinds(plan.operations)).not.toContain("loopback-up");
});

test("a user namespace brings its maps and binds the nodes that it could not make", () => {
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
  // The last word of one kind counts, and what is no word of mount(8) goes to the file system.
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

test("a read-only /dev is filled before it becomes so, a bound one is left alone", () => {
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

test("shared propagation keeps the container's root to itself", () => {
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

test("what would reach the host is refused", () => {
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

test("what is not built yet is refused by name", () => {
  for (const [change, name] of [
    [{ process: { apparmorProfile: "x" } }, "process.apparmorProfile"],
    [{ hooks: { prestart: [{ path: "/bin/true" }] } }, "hooks"],
    [{ linux: { namespaces: [{ type: "mount" }], memoryPolicy: { mode: "MPOL_BIND" } } }, "linux.memoryPolicy"],
  ] as const)
    expect(() => compile(spec(change as Change), options)).toThrow(
      expect.objectContaining({ code: "not-implemented", message: expect.stringContaining(name) }),
    );
});

test("terminal, init, waiting to be started, keyring", () => {
  const plan = compile(spec({ process: { terminal: true, consoleSize: { height: 24, width: 80 } } }), {
    ...options,
    init: true,
    waitForStart: true,
    keyring: "k",
  });
  expect(plan.terminal).toEqual({ rows: 24, columns: 80 });
  expect(kinds(plan.operations).slice(-2)).toEqual(["wait-start", "exec"]);
  expect(plan.operations.at(-1)).toMatchObject({ init: true });
  expect(plan.operations).toContainEqual({ kind: "bind-console", path: "/dev/console" });
  expect(plan.operations).toContainEqual({ kind: "session-keyring", name: "k" });
  expect(
    compile(spec({ process: { terminal: true } }), { ...options, console: { rows: 3, columns: 4 } }).terminal,
  ).toEqual({
    rows: 3,
    columns: 4,
  });
});

function exec(process: object): Operation | undefined {
  return compile(spec({ process }), options).operations.at(-1);
}

test("the program", () => {
  expect(exec({ args: ["/bin/x"], env: [] })).toMatchObject({ candidates: ["/bin/x"] });
  expect(exec({ args: ["x"], env: [] })).toMatchObject({ candidates: [] });
  expect(exec({ args: ["x"], env: ["PATH=/a::b"] })).toMatchObject({ candidates: ["/a/x", "x", "b/x"] });
  expect(() => exec({ args: [] })).toThrow(/no program/);
  expect(() => exec({ args: ["a\0"] })).toThrow(/NUL/);
  expect(() => exec({ env: ["=x"] })).toThrow(/NAME=value/);
  expect(() => exec({ rlimits: [{ type: "RLIMIT_X", soft: 1, hard: 1 }] })).toThrow(/unknown resource limit/);
  expect(() => exec({ rlimits: [{ type: "RLIMIT_NOFILE", soft: 2, hard: 1 }] })).toThrow(/above the hard limit/);
  expect(() => exec({ capabilities: { bounding: ["CAP_X"] } })).toThrow(/unknown capability: "CAP_X"/);
  expect(() => exec({ capabilities: { effective: ["CAP_KILL"] } })).toThrow(/part of the permitted set/);
});

test("an exec changes the process only", () => {
  const process = spec().process;
  const plan = compileExec({ ...process!, terminal: true }, { console: { rows: 5, columns: 6 } });
  expect(kinds(plan.operations)).toEqual([
    "new-session",
    "oom-score-adj",
    "umask",
    "rlimit",
    "bounding-set",
    "working-directory",
    "set-user",
    "capabilities",
    "exec",
  ]);
  expect(plan.stem).toEqual({ newNamespaces: [], cgroupProcs: [] });
  expect(plan.terminal).toEqual({ rows: 5, columns: 6 });
});
