/** What each of the machine's answers means for Fathom. Nothing here asks the machine: `check.ts` does. */
import { whereabouts, type CgroupSupport, type HierarchySet, type KernelReport } from "@fathom/runtime";
import type { NetworkTry } from "@fathom/network";
import type { Finding, Section } from "./report.ts";

const ok = (name: string, text = ""): Finding => ({ state: "ok", name, text });
const note = (name: string, text: string): Finding => ({ state: "note", name, text });
const missing = (name: string, text: string): Finding => ({ state: "missing", name, text });

/** "y" (built in), "m" (a module) or "n", by the option's name; undefined when the configuration cannot be read. */
export type KernelConfig = ReadonlyMap<string, string> | undefined;

/** The content of .config, without options that are not set. */
export function parseKernelConfig(text: string): ReadonlyMap<string, string> {
  return new Map([...text.matchAll(/^(CONFIG_\w+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]));
}

/** " (CONFIG_VETH=m here: modprobe veth)" */
function configured(config: KernelConfig, option: string, module?: string): string {
  const value = config?.get(option);
  const load = module === undefined ? "" : `: modprobe ${module}`;
  if (config === undefined) return ` (${option}${load})`;
  return value === "m"
    ? ` (${option}=m here${load})`
    : value === undefined
      ? ` (${option} is not set in this kernel)`
      : ` (${option}=${value} here)`;
}

export function kernelSection({ features }: KernelReport): Section {
  return {
    title: "Kernel",
    findings: features.flatMap(({ feature, state }): Finding[] => {
      switch (state.kind) {
        case "there":
          return [ok(feature.call, feature.purpose)];
        case "not-used":
          return [];
        case "falls-back":
          return [
            {
              state: "fallback",
              name: feature.call,
              text: `Linux ${feature.since} and newer; ${state.errno} here. Instead: ${state.fallback}`,
            },
          ];
        case "missing":
          return [missing(feature.call, `${state.errno} here; ${whereabouts(feature)}`)];
      }
    }),
  };
}

/** Controllers, with the limits that need them. Without the first ones Docker's usual containers make no sense. */
const controllers: readonly { readonly names: readonly string[]; readonly needed: boolean; readonly text: string }[] = [
  {
    names: ["memory"],
    needed: true,
    text: "--memory; boot with cgroup_enable=memory where the kernel has it switched off",
  },
  { names: ["cpu"], needed: true, text: "--cpus, --cpu-shares (CONFIG_CGROUP_SCHED)" },
  { names: ["pids"], needed: true, text: "--pids-limit (CONFIG_CGROUP_PIDS)" },
  { names: ["cpuset"], needed: false, text: "--cpuset-cpus (CONFIG_CPUSETS)" },
  { names: ["io", "blkio"], needed: false, text: "--blkio-weight (CONFIG_BLK_CGROUP)" },
];

export function cgroupSection(set: HierarchySet | string, support: CgroupSupport | undefined): Section {
  const title = "Control groups";
  if (typeof set === "string") return { title, findings: [missing("cgroups", set)] };
  const { version, hierarchies } = set;
  const all = new Set(hierarchies.flatMap((hierarchy) => hierarchy.controllers));
  const unified = hierarchies.some((hierarchy) => hierarchy.version === 2);
  const findings: Finding[] = [
    ok(`cgroup ${version}`, hierarchies.map(({ mountPoint }) => mountPoint).join(" ")),
    ...controllers.map(({ names, needed, text }) =>
      names.some((name) => all.has(name))
        ? ok(`controller ${names[0]}`)
        : {
            state: needed ? ("missing" as const) : ("note" as const),
            name: `controller ${names[0]}`,
            text: `for ${text}`,
          },
    ),
  ];
  // v2 has both without a controller: a program of the kernel, and cgroup.freeze.
  if (!unified)
    for (const name of ["devices", "freezer"])
      findings.push(all.has(name) ? ok(`controller ${name}`) : missing(`controller ${name}`, `mount it, or cgroup v2`));
  if (support !== undefined && support.memory && !support.memorySwap)
    findings.push(
      note(
        "limit of swap",
        "--memory-swap has no effect: boot with swapaccount=1 (cgroup v1), or the kernel has no swap",
      ),
    );
  if (support !== undefined && !support.cpuQuota)
    findings.push(note("quota of processor time", "--cpus, --cpu-quota need CONFIG_CFS_BANDWIDTH"));
  return { title, findings };
}

export function networkSection(
  tries: ReadonlyMap<NetworkTry, string | undefined>,
  settings: { readonly forwarding: string | undefined; readonly ipv6: boolean },
  config: KernelConfig,
): Section {
  const table: readonly { name: NetworkTry; title: string; purpose: string; how: string }[] = [
    {
      name: "namespace",
      title: "network namespaces",
      purpose: "each container's own network",
      how: configured(config, "CONFIG_NET_NS"),
    },
    {
      name: "bridge",
      title: "bridge",
      purpose: "the default network",
      how: configured(config, "CONFIG_BRIDGE", "bridge"),
    },
    { name: "veth", title: "veth", purpose: "containers' interfaces", how: configured(config, "CONFIG_VETH", "veth") },
    {
      name: "rules",
      title: "nftables",
      purpose: "published ports, the way outside, isolation",
      how: `${configured(config, "CONFIG_NF_TABLES", "nf_tables")}; also CONFIG_NFT_CT, CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NFT_FIB_IPV4`,
    },
  ];
  const findings = table.flatMap(({ name, title, purpose, how }): Finding[] => {
    if (!tries.has(name)) return [];
    const problem = tries.get(name);
    return [problem === undefined ? ok(title, purpose) : missing(title, `for ${purpose}: ${problem}${how}`)];
  });
  if (settings.forwarding !== undefined && settings.forwarding !== "1")
    findings.push(note("IPv4 forwarding", "off: the daemon switches it on (net.ipv4.ip_forward=1)"));
  if (!settings.ipv6) findings.push(note("IPv6", "off: ports are published on IPv4 alone"));
  return { title: "Network", findings };
}

export function storageSection(dataRoot: string, fileSystem: string, problem: string | undefined): Section {
  const text = `overlay on ${dataRoot} (${fileSystem})`;
  return {
    title: "Storage",
    findings: [
      problem === undefined
        ? ok(text)
        : missing(text, `${problem}: put the data root on ext4, xfs (ftype=1) or btrfs (--data-root)`),
    ],
  };
}

export interface SecurityFacts {
  /** Numbers of the capabilities that this process has. */
  readonly capabilities: bigint;
  readonly appArmor: boolean;
  readonly seLinux: boolean;
}

/** capabilities(7): those that the engine itself needs, and those that containers get by default. */
const engineCapabilities: Readonly<Record<string, bigint>> = {
  CAP_CHOWN: 0n,
  CAP_DAC_OVERRIDE: 1n,
  CAP_FOWNER: 3n,
  CAP_FSETID: 4n,
  CAP_KILL: 5n,
  CAP_SETGID: 6n,
  CAP_SETUID: 7n,
  CAP_SETPCAP: 8n,
  CAP_NET_BIND_SERVICE: 10n,
  CAP_NET_ADMIN: 12n,
  CAP_NET_RAW: 13n,
  CAP_SYS_CHROOT: 18n,
  CAP_SYS_PTRACE: 19n,
  CAP_SYS_ADMIN: 21n,
  CAP_MKNOD: 27n,
  CAP_AUDIT_WRITE: 29n,
  CAP_SETFCAP: 31n,
};
const CAP_SYS_RESOURCE = 24n;

export function securitySection({ capabilities, appArmor, seLinux }: SecurityFacts): Section {
  const has = (number: bigint): boolean => ((capabilities >> number) & 1n) === 1n;
  const lost = Object.entries(engineCapabilities).filter(([, number]) => !has(number));
  const findings: Finding[] = [
    lost.length === 0
      ? ok("capabilities")
      : missing(
          "capabilities",
          `${lost.map(([name]) => name).join(", ")}: run the daemon as root with all capabilities`,
        ),
  ];
  if (!has(CAP_SYS_RESOURCE))
    findings.push(
      note("CAP_SYS_RESOURCE", "missing: --ulimit above this process's own limits and a negative --oom-score-adj fail"),
    );
  if (appArmor) findings.push(note("AppArmor", "on: it still protects the host; containers get no profile of it yet"));
  if (seLinux) findings.push(note("SELinux", "on: it still protects the host; containers get no labels of it yet"));
  return { title: "Security", findings };
}

export interface LimitFacts {
  /** Hard limit; Infinity for none. */
  readonly openFiles: number;
  readonly processIds: number;
  readonly threads: number;
  readonly rootKeys: number | undefined;
  readonly inotifyInstances: number | undefined;
}

export function limitSection(facts: LimitFacts): Section {
  const enough = (name: string, value: number | undefined, least: number, how: string): Finding[] =>
    value === undefined ? [] : [value >= least ? ok(name, String(value)) : note(name, `${value}; ${how}`)];
  return {
    title: "Limits",
    findings: [
      ...enough(
        "open files of this process",
        facts.openFiles,
        16384,
        "few containers fit: raise it (LimitNOFILE, ulimit -Hn)",
      ),
      ...enough("process numbers", facts.processIds, 32768, "sysctl -w kernel.pid_max=4194304"),
      ...enough("threads of the machine", facts.threads, 8192, "sysctl -w kernel.threads-max=…"),
      ...enough(
        "keys of root",
        facts.rootKeys,
        10000,
        "each container has a keyring: sysctl -w kernel.keys.root_maxkeys=1000000",
      ),
      ...enough(
        "inotify instances of a user",
        facts.inotifyInstances,
        128,
        "sysctl -w fs.inotify.max_user_instances=8192",
      ),
    ],
  };
}
