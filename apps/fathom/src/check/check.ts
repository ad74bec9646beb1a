/**
 * `fathom check`: compares this machine with what Fathom needs. It needs no daemon and leaves nothing behind. It returns 1 when something
 * necessary is missing.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { release } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";
import { messageOf } from "@fathom/base";
import { tryNetworks } from "@fathom/network";
import {
  findMountedHierarchies,
  mountAbove,
  openCgroups,
  type CgroupSupport,
  type HierarchySet,
} from "@fathom/runtime";
import { createSys, hostText, type Sys } from "@fathom/sys";
import { examineKernel } from "../kernel.ts";
import { countOf, renderSections, type Section } from "./report.ts";
import {
  cgroupSection,
  kernelSection,
  limitSection,
  networkSection,
  parseKernelConfig,
  securitySection,
  storageSection,
  type KernelConfig,
} from "./sections.ts";

const help = `Usage:  fathom check [OPTIONS]

Look whether this machine has what containers need. No daemon is needed, and nothing is changed.
Ends with 1 when something that is needed is missing.

Options:
      --data-root string   Root directory of persistent state (default "/var/lib/fathom")
`;

export async function checkMain(argv: readonly string[]): Promise<number> {
  let dataRoot: string;
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { "data-root": { type: "string", default: "/var/lib/fathom" }, help: { type: "boolean" } },
    });
    if (values.help === true) {
      process.stdout.write(help);
      return 0;
    }
    dataRoot = values["data-root"];
    if (!isAbsolute(dataRoot)) throw new Error(`data-root must be an absolute path, found ${JSON.stringify(dataRoot)}`);
  } catch (error) {
    console.error(`fathom check: ${messageOf(error)}`);
    return 125;
  }
  if (process.getuid?.() !== 0) {
    console.error("fathom check: it needs root, as the daemon does, because only root may do most of its tests");
    return 1;
  }
  let sections: Section[];
  try {
    sections = await examine(createSys(), dataRoot);
  } catch (error) {
    console.error(`fathom check: ${messageOf(error)}`);
    return 1;
  }
  process.stdout.write(renderSections(`Linux ${release()} on ${process.arch}, ${distribution()}`, sections));
  return countOf(sections, "missing") === 0 ? 0 : 1;
}

async function examine(sys: Sys, dataRoot: string): Promise<Section[]> {
  const config = kernelConfig();
  const cgroups = readCgroups();
  return [
    await kernel(sys),
    cgroupSection(cgroups.set, cgroups.support),
    networkSection(
      tryNetworks(sys),
      { forwarding: readText("/proc/sys/net/ipv4/ip_forward"), ipv6: existsSync("/proc/sys/net/ipv6") },
      config,
    ),
    storage(sys, dataRoot),
    securitySection({
      capabilities: BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readText("/proc/self/status") ?? "")?.[1] ?? "0"}`),
      appArmor: readText("/sys/module/apparmor/parameters/enabled") === "Y",
      seLinux: existsSync("/sys/fs/selinux/enforce"),
    }),
    limitSection({
      openFiles: openFilesLimit(),
      processIds: readNumber("/proc/sys/kernel/pid_max") ?? 0,
      threads: readNumber("/proc/sys/kernel/threads-max") ?? 0,
      rootKeys: readNumber("/proc/sys/kernel/keys/root_maxkeys"),
      inotifyInstances: readNumber("/proc/sys/fs/inotify/max_user_instances"),
    }),
  ];
}

async function kernel(sys: Sys): Promise<Section> {
  try {
    return kernelSection(await examineKernel(sys));
  } catch (error) {
    return { title: "Kernel", findings: [{ state: "missing", name: "fathom-init", text: messageOf(error) }] };
  }
}

function readCgroups(): { readonly set: HierarchySet | string; readonly support: CgroupSupport | undefined } {
  try {
    return { set: findMountedHierarchies(), support: openCgroups().support };
  } catch (error) {
    return { set: messageOf(error), support: undefined };
  }
}

/** Tried at the place of the layers, because the kernel decides which file systems overlay accepts as the upper one. */
function storage(sys: Sys, dataRoot: string): Section {
  let place = dataRoot;
  while (!existsSync(place)) place = dirname(place);
  const { type } = mountAbove(realpathSync(place));
  let problem: string | undefined;
  try {
    const directory = mkdtempSync(join(place, ".fathom-check-"));
    try {
      const [lower, upper, work] = ["lower", "upper", "work"].map((name) => join(directory, name));
      for (const path of [lower!, upper!, work!]) mkdirSync(path);
      sys.close(sys.openOverlay({ lower: [lower!], upper: upper!, work: work! }));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  } catch (error) {
    problem = messageOf(error);
  }
  return storageSection(dataRoot, type, problem);
}

function readText(path: string): string | undefined {
  return hostText(path)?.trim();
}

function readNumber(path: string): number | undefined {
  const text = readText(path);
  return text === undefined ? undefined : Number(text);
}

function openFilesLimit(): number {
  const value = /^Max open files\s+\S+\s+(\S+)/m.exec(readText("/proc/self/limits") ?? "")?.[1];
  return value === undefined ? 0 : value === "unlimited" ? Infinity : Number(value);
}

function distribution(): string {
  const text = readText("/etc/os-release") ?? readText("/usr/lib/os-release") ?? "";
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? "an unknown distribution";
}

function kernelConfig(): KernelConfig {
  try {
    return parseKernelConfig(gunzipSync(readFileSync("/proc/config.gz")).toString());
  } catch {
    const text = readText(`/boot/config-${release()}`);
    return text === undefined ? undefined : parseKernelConfig(text);
  }
}
