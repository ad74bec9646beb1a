import { expect, test } from "bun:test";
import { compile } from "../compile/compile.ts";
import { describeOperation } from "./describe-operation.ts";
import { explain } from "./explain.ts";
import { options, spec } from "../testing/plan-fixture.ts";

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
  35. keep no more than the capabilities chown kill; drop all others permanently
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

test("no capability at all", () => {
  expect(describeOperation({ kind: "bounding-set", keep: 0n })).toBe("drop all capabilities permanently");
  const none = { effective: 0n, permitted: 0n, inheritable: 0n, ambient: 0n };
  expect(describeOperation({ kind: "capabilities", ...none })).toBe("hold no capability");
});

test("limits, the network, and cgroups of many hierarchies", () => {
  const plan = compile(spec(), options);
  const stem = {
    ...plan.stem,
    cgroupProcs: ["memory", "cpu,cpuacct", "unified"].map((name) => `/sys/fs/cgroup/${name}/fathom/c/tasks`),
  };
  const resources = {
    memoryBytes: 64 * 2 ** 20,
    memorySwapBytes: -1,
    cpuQuotaUs: 50_000,
    cpuPeriodUs: 100_000,
    pids: 10,
    devices: [
      { allow: false, type: "a", access: "rwm" },
      { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
      { allow: true, type: "b", major: 7, access: "rm" },
    ],
  } as const;
  const text = explain({ ...plan, stem }, { resources, network: ["port 80/tcp at 0.0.0.0:8080 of the host"] });
  expect(text).toStartWith(`A new process
      in new namespaces of its own: mount, pid, network, ipc, uts, cgroup
      limited and counted by the cgroup /fathom/c
        in each hierarchy of /sys/fs/cgroup: cpu,cpuacct memory unified

What it may use
      at most 64 MiB of memory
      swap without a limit
      at most 0.5 CPUs: 50000 µs of each 100000 µs
      at most 10 processes and threads
      of devices only c 1:3 rwm, b 7:* rm

Network, attached before the program starts
      port 80/tcp at 0.0.0.0:8080 of the host

Root file system
`);
});
