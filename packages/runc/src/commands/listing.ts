/** list and ps. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { EngineError, messageOf } from "@fathom/base";
import { configOf, readRecord } from "../state/record.ts";
import { containerIds } from "../state/directory.ts";
import { pidOf, statusOf } from "../state/status.ts";
import { findContainer, type Call } from "../call.ts";
import type { Flags } from "../command-line/parse.ts";

interface Listed {
  readonly ociVersion: string;
  readonly id: string;
  readonly pid: number;
  readonly status: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly owner: string;
}

function listed(call: Call, id: string): Listed | undefined {
  const directory = join(call.root, id);
  try {
    const state = readRecord(directory);
    if (state === undefined) return undefined;
    const status = statusOf(directory, state, call.cgroups);
    const { annotations, ociVersion } = configOf(state);
    const { bundle, rootfs, created } = state;
    const owner = statSync(directory).uid === 0 ? "root" : `#${statSync(directory).uid}`;
    const more = annotations === undefined ? {} : { annotations };
    return { ociVersion, id, pid: pidOf(state, status), status, bundle, rootfs, created, ...more, owner };
  } catch (error) {
    call.log.write("error", `load container ${id}: ${messageOf(error)}`);
    return undefined;
  }
}

export async function list(call: Call, flags: Flags): Promise<number> {
  const format = flags.text("format") ?? "table";
  if (format !== "table" && format !== "json") throw new EngineError("invalid-argument", "invalid format option");
  const all = containerIds(call.root).flatMap((id) => listed(call, id) ?? []);
  if (flags.on("quiet")) process.stdout.write(all.map(({ id }) => `${id}\n`).join(""));
  else if (format === "json") process.stdout.write(`${all.length === 0 ? "null" : JSON.stringify(all)}\n`);
  else {
    const rows = all.map(({ id, pid, status, bundle, created, owner }) => [
      id,
      String(pid),
      status,
      bundle,
      created,
      owner,
    ]);
    process.stdout.write(table([["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], ...rows]));
  }
  return 0;
}

const columnWidth = 12;

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(columnWidth, ...rows.map((row) => (row[at] ?? "").length + 1)),
  );
  return rows
    .map((row) => row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join("") + "\n")
    .join("");
}

export async function ps(call: Call, flags: Flags): Promise<number> {
  const { state } = findContainer(call, flags.args[0]);
  const format = flags.text("format") ?? "table";
  const pids = call.cgroups
    .open(state.cgroup)
    .processes()
    .sort((a, b) => a - b);
  if (format === "json") {
    process.stdout.write(`${JSON.stringify(pids)}\n`);
    return 0;
  }
  if (format !== "table") throw new EngineError("invalid-argument", "invalid format option");
  const more = flags.args.slice(1);
  const { stdout, stderr, success } = Bun.spawnSync(["ps", ...(more.length === 0 ? ["-ef"] : more)]);
  if (!success) throw new EngineError("internal", `ps failed: ${stderr.toString().trim()}`);
  const [header = "", ...lines] = stdout.toString().split("\n");
  const at = header.trim().split(/\s+/).indexOf("PID");
  if (at < 0) throw new EngineError("invalid-argument", "couldn't find PID field in ps output");
  const own = new Set(pids.map(String));
  process.stdout.write(
    [header, ...lines.filter((line) => own.has(line.trim().split(/\s+/)[at] ?? ""))].join("\n") + "\n",
  );
  return 0;
}
