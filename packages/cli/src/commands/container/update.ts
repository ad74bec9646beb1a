import type { CommandContext } from "../../grammar/command.ts";
import type { ParsedFlags } from "../../grammar/flags.ts";
import { errorLine } from "../../session/each.ts";
import { connect } from "../../session/session.ts";
import { restartPolicyOf } from "../../run-options/restart-policy.ts";
import { parseBytes, parseNanoCpus } from "../../run-options/values.ts";

function bytesOf(flags: ParsedFlags, name: string): number {
  const text = flags.string(name);
  return text === "" ? 0 : text === "-1" ? -1 : parseBytes(text);
}

/** The daemon leaves unchanged what is 0 or empty. */
function changesOf(flags: ParsedFlags): object {
  return {
    BlkioWeight: flags.int("blkio-weight"),
    CpuPeriod: flags.int("cpu-period"),
    CpuQuota: flags.int("cpu-quota"),
    CpuRealtimePeriod: flags.int("cpu-rt-period"),
    CpuRealtimeRuntime: flags.int("cpu-rt-runtime"),
    CpuShares: flags.int("cpu-shares"),
    CpusetCpus: flags.string("cpuset-cpus"),
    CpusetMems: flags.string("cpuset-mems"),
    Memory: bytesOf(flags, "memory"),
    MemoryReservation: bytesOf(flags, "memory-reservation"),
    MemorySwap: bytesOf(flags, "memory-swap"),
    NanoCpus: flags.string("cpus") === "" ? 0 : parseNanoCpus(flags.string("cpus")),
    PidsLimit: flags.int("pids-limit") === 0 ? null : flags.int("pids-limit"),
    RestartPolicy: restartPolicyOf(flags.string("restart")),
  };
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, args, command, stdout, stderr } = context;
  if (!command.flags.some(({ name }) => flags.changed(name)))
    throw new Error("you must provide one or more flags when using this command");
  const body = changesOf(flags);
  const client = await connect(context);
  const warnings: string[] = [];
  const failures: string[] = [];
  for (const name of args) {
    try {
      const path = `/containers/${encodeURIComponent(name)}/update`;
      const answer = await client.json<{ Warnings: readonly string[] | null }>("POST", path, { body });
      stdout.write(`${name}\n`);
      warnings.push(...(answer.Warnings ?? []));
    } catch (error) {
      failures.push(errorLine(error));
    }
  }
  if (warnings.length > 0) stdout.write(`${warnings.join("\n")}\n`);
  for (const line of failures) stderr.write(`${line}\n`);
  return failures.length > 0 ? 1 : 0;
}
