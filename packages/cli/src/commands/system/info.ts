import { DaemonError, type Client } from "@fathom/client";
import type { CommandContext } from "../../grammar/command.ts";
import { connect } from "../../session/session.ts";
import { parseTemplate } from "@fathom/template";
import { bytesSize } from "@fathom/spec";

interface Info {
  readonly Containers: number;
  readonly ContainersRunning: number;
  readonly ContainersPaused: number;
  readonly ContainersStopped: number;
  readonly Images: number;
  readonly ServerVersion: string;
  readonly Driver: string;
  readonly DriverStatus: readonly (readonly [string, string])[] | null;
  readonly LoggingDriver: string;
  readonly CgroupDriver: string;
  readonly CgroupVersion: string;
  readonly KernelVersion: string;
  readonly OperatingSystem: string;
  readonly OSType: string;
  readonly Architecture: string;
  readonly NCPU: number;
  readonly MemTotal: number;
  readonly Name: string;
  readonly ID: string;
  readonly DockerRootDir: string;
  readonly SecurityOptions: readonly string[] | null;
  readonly RegistryConfig: {
    readonly InsecureRegistryCIDRs?: readonly string[];
    readonly Mirrors?: readonly string[] | null;
  } | null;
  readonly LiveRestoreEnabled: boolean;
  readonly Warnings: readonly string[] | null;
}

/** The kernel features that fathom's daemon reports. dockerd does not report them. */
interface KernelFacts {
  readonly Features: readonly {
    readonly Call: string;
    readonly Since: string;
    readonly State: "there" | "falls-back" | "missing" | "not-used";
    readonly Fallback?: string;
  }[];
}

async function kernelLines(client: Client): Promise<(readonly [number, string, unknown])[]> {
  let facts: { readonly Kernel?: KernelFacts };
  try {
    facts = await client.json("GET", "/debug");
  } catch (error) {
    if (error instanceof DaemonError) return [];
    throw error;
  }
  const features = facts.Kernel?.Features ?? [];
  const used = features.filter(({ State }) => State !== "not-used");
  const there = used.filter(({ State }) => State === "there");
  if (used.length === 0) return [];
  return [
    [1, "Features", `${there.length} of ${used.length}${there.length === used.length ? "" : ", without"}`],
    ...used.flatMap(({ Call, Since, State, Fallback }) =>
      State === "there" ? [] : [[2, `${Call} (Linux ${Since})`, Fallback ?? "missing"] as const],
    ),
  ];
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout, stderr } = context;
  const client = await connect(context);
  const info = await client.json<Info>("GET", "/info");
  const format = flags.string("format");
  if (format !== "") {
    stdout.write(format === "json" ? `${JSON.stringify(info)}\n` : `${parseTemplate(format).execute(info)}\n`);
    return 0;
  }
  const kernel = await kernelLines(client);
  const lines: readonly (readonly [number, string, unknown])[] = [
    [0, "Containers", info.Containers],
    [1, "Running", info.ContainersRunning],
    [1, "Paused", info.ContainersPaused],
    [1, "Stopped", info.ContainersStopped],
    [0, "Images", info.Images],
    [0, "Server Version", info.ServerVersion],
    [0, "Storage Driver", info.Driver],
    ...(info.DriverStatus ?? []).map(([key, value]) => [1, key, value] as const),
    [0, "Logging Driver", info.LoggingDriver],
    [0, "Cgroup Driver", info.CgroupDriver],
    [0, "Cgroup Version", info.CgroupVersion],
    [0, "Security Options", (info.SecurityOptions ?? []).join(" ")],
    [0, "Kernel Version", info.KernelVersion],
    ...kernel,
    [0, "Operating System", info.OperatingSystem],
    [0, "OSType", info.OSType],
    [0, "Architecture", info.Architecture],
    [0, "CPUs", info.NCPU],
    [0, "Total Memory", bytesSize(info.MemTotal)],
    [0, "Name", info.Name],
    [0, "ID", info.ID],
    [0, "Root Dir", info.DockerRootDir],
    [0, "Insecure Registries", (info.RegistryConfig?.InsecureRegistryCIDRs ?? []).join(" ")],
    [0, "Registry Mirrors", (info.RegistryConfig?.Mirrors ?? []).join(" ") || "none"],
    [0, "Live Restore Enabled", info.LiveRestoreEnabled],
  ];
  stdout.write(
    `Server:\n${lines.map(([depth, key, value]) => `${" ".repeat(depth + 1)}${key}: ${String(value)}\n`).join("")}`,
  );
  for (const warning of info.Warnings ?? []) stderr.write(`${warning}\n`);
  return 0;
}
