import { expect, test } from "bun:test";
import { judgeKernel, kernelFeatures, type CgroupSupport } from "@fathom/runtime";
import { countOf, renderSections } from "./report.ts";
import {
  cgroupSection,
  kernelSection,
  limitSection,
  networkSection,
  parseKernelConfig,
  securitySection,
  storageSection,
} from "./sections.ts";

const all = 0x1ffffffffffn;
const support = { memory: true, memorySwap: true, cpuQuota: true } as CgroupSupport;
const unified = { version: 2, mountPoint: "/sys/fs/cgroup" } as const;
const allTries = new Map([
  ["namespace", undefined],
  ["bridge", undefined],
  ["veth", undefined],
  ["rules", undefined],
] as const);
const limits = { openFiles: Infinity, processIds: 4194304, threads: 100000, rootKeys: 1000000, inotifyInstances: 8192 };

test("a machine with everything: only ok, and 0 missing", () => {
  const controllers = ["cpu", "memory", "pids", "cpuset", "io"];
  const sections = [
    kernelSection(judgeKernel("6.18.0", new Map(kernelFeatures.map(({ name }) => [name, 0])))),
    cgroupSection({ version: "v2", hierarchies: [{ ...unified, controllers }] }, support),
    networkSection(allTries, { forwarding: "1", ipv6: true }, undefined),
    storageSection("/var/lib/fathom", "ext4", undefined),
    securitySection({ capabilities: all, appArmor: false, seLinux: false }),
    limitSection(limits),
  ];
  const states = sections.flatMap(({ findings }) => findings.map(({ state }) => state));
  expect(new Set(states)).toEqual(new Set(["ok"]));
  expect(states.length).toBeGreaterThan(kernelFeatures.length);
  expect(countOf(sections, "missing")).toBe(0);
  expect(renderSections("Linux", sections)).toEndWith(
    "Everything that is needed is here. Another way is used for 0; 0 to note.\n",
  );
});

test("the kernel: a fallback says what is used instead, a missing feature says which version has it", () => {
  const tries = new Map([
    ["openat2", 38],
    ["fchmodat2", 38],
    ["mqueue", 19],
  ]);
  expect(kernelSection(judgeKernel("5.4.0", tries)).findings).toEqual([
    { state: "missing", name: "openat2", text: expect.stringContaining("Linux 5.6 and newer") },
    { state: "missing", name: "fsopen of mqueue", text: expect.stringContaining("CONFIG_POSIX_MQUEUE") },
    { state: "fallback", name: "fchmodat2", text: "Linux 6.6 and newer; ENOSYS here. Instead: chmod through /proc" },
  ]);
});

test("cgroups: memory, cpu and pids are necessary; on v1 also devices and freezer", () => {
  const state = (name: string, section: ReturnType<typeof cgroupSection>) =>
    section.findings.find((finding) => finding.name === name)?.state;
  const second = cgroupSection({ version: "v2", hierarchies: [{ ...unified, controllers: ["cpu"] }] }, support);
  expect(state("controller cpu", second)).toBe("ok");
  expect(state("controller memory", second)).toBe("missing");
  expect(state("controller cpuset", second)).toBe("note");
  expect(state("controller devices", second)).toBeUndefined();
  const first = cgroupSection(
    { version: "v1", hierarchies: [{ version: 1, mountPoint: "/c", controllers: ["freezer"] }] },
    support,
  );
  expect(state("controller freezer", first)).toBe("ok");
  expect(state("controller devices", first)).toBe("missing");
  expect(cgroupSection("no cgroup hierarchy is mounted", undefined).findings[0]?.state).toBe("missing");
  const noSwap = cgroupSection(
    { version: "v2", hierarchies: [{ ...unified, controllers: ["memory"] }] },
    { ...support, memorySwap: false, cpuQuota: false },
  );
  expect(state("limit of swap", noSwap)).toBe("note");
  expect(state("quota of processor time", noSwap)).toBe("note");
});

test("the network: the kernel's words, and what its configuration says about the module", () => {
  const tries = new Map([
    ["namespace", undefined],
    ["bridge", "failed to create bridge fathom-check: EOPNOTSUPP"],
    ["rules", "failed to add: ENOENT"],
  ] as const);
  const config = parseKernelConfig("# comment\nCONFIG_BRIDGE=m\n# CONFIG_NF_TABLES is not set\nCONFIG_VETH=y\n");
  const { findings } = networkSection(tries, { forwarding: "0", ipv6: false }, config);
  expect(findings.map(({ state, name }) => `${state} ${name}`)).toEqual([
    "ok network namespaces",
    "missing bridge",
    "missing nftables",
    "note IPv4 forwarding",
    "note IPv6",
  ]);
  expect(findings[1]?.text).toBe(
    "for the default network: failed to create bridge fathom-check: EOPNOTSUPP (CONFIG_BRIDGE=m here: modprobe bridge)",
  );
  expect(findings[2]?.text).toContain("CONFIG_NF_TABLES is not set in this kernel");
});

test("rights: missing ones are named; LSMs are listed with their effect", () => {
  const { findings } = securitySection({
    capabilities: all & ~(1n << 21n) & ~(1n << 24n),
    appArmor: true,
    seLinux: true,
  });
  expect(findings.map(({ state, name }) => `${state} ${name}`)).toEqual([
    "missing capabilities",
    "note CAP_SYS_RESOURCE",
    "note AppArmor",
    "note SELinux",
  ]);
  expect(findings[0]?.text).toContain("CAP_SYS_ADMIN");
});

test("storage and limits: the remedy is named", () => {
  const [storage] = storageSection("/data", "nfs", "mount overlay: EINVAL").findings;
  expect(storage).toEqual({
    state: "missing",
    name: "overlay on /data (nfs)",
    text: expect.stringContaining("--data-root"),
  });
  const { findings } = limitSection({
    openFiles: 1024,
    processIds: 400,
    threads: 1,
    rootKeys: 200,
    inotifyInstances: undefined,
  });
  expect(findings.map(({ state }) => state)).toEqual(["note", "note", "note", "note"]);
});
