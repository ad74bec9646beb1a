/** pause, resume, update, events: what concerns the cgroup. */
import { readFileSync } from "node:fs";
import { EngineError } from "@fathom/base";
import { resourcesFromOci } from "@fathom/runtime";
import { checkOciSpec, parseJsonExactly, type LinuxResources } from "@fathom/spec";
import { findContainer, lockContainer, type Call } from "../call.ts";
import type { Flags } from "../command-line/parse.ts";
import { writeRecord } from "../state/record.ts";
import { statusOf } from "../state/status.ts";
import { notRunning, texts } from "../words.ts";
import { statsEvent } from "./stats-event.ts";

export async function pause(call: Call, flags: Flags): Promise<number> {
  using found = await lockContainer(call, flags.args[0]);
  const status = statusOf(found.directory, found.state, call.cgroups);
  if (status !== "running" && status !== "created") throw notRunning();
  await call.cgroups.open(found.state.cgroup).freeze();
  return 0;
}

export async function resume(call: Call, flags: Flags): Promise<number> {
  using found = await lockContainer(call, flags.args[0]);
  if (statusOf(found.directory, found.state, call.cgroups) !== "paused")
    throw new EngineError("conflict", texts.notPaused);
  await call.cgroups.open(found.state.cgroup).thaw();
  return 0;
}

export async function update(call: Call, flags: Flags): Promise<number> {
  using found = await lockContainer(call, flags.args[0]);
  if (statusOf(found.directory, found.state, call.cgroups) === "stopped") throw notRunning();
  const wanted =
    flags.text("resources") === undefined ? fromFlags(flags) : readResources(flags.text("resources") ?? "");
  const { devices: _, ...resources } = resourcesFromOci(wanted);
  await call.cgroups.open(found.state.cgroup).update(resources);
  writeRecord(found.directory, { ...found.state, config: withResources(found.state.config, wanted) });
  return 0;
}

function decodeResources(value: unknown): LinuxResources {
  return checkOciSpec({ ociVersion: "1.0.0", linux: { resources: value } }).linux?.resources ?? {};
}

/** "-" is the standard input. */
function readResources(path: string): LinuxResources {
  try {
    return decodeResources(parseJsonExactly(readFileSync(path === "-" ? 0 : path, "utf8")));
  } catch (error) {
    if (error instanceof EngineError) throw error;
    throw new EngineError("invalid-argument", `the resources in ${path} cannot be read: ${String(error)}`, {
      cause: error,
    });
  }
}

const notYet = ["l3-cache-schema", "mem-bw-schema", "kernel-memory", "kernel-memory-tcp"];

/** Memory may be written with a unit: "64m". */
function bytesOf(flags: Flags, name: string): number | undefined {
  const text = flags.text(name);
  if (text === undefined) return undefined;
  const [, digits, unit = ""] = /^(-?\d+)([bkmgt]?)b?$/i.exec(text) ?? [];
  if (digits === undefined) throw new EngineError("invalid-argument", `invalid value for ${name}: ${text}`);
  return Number(digits) * 1024 ** Math.max(0, "bkmgt".indexOf(unit.toLowerCase()));
}

function fromFlags(flags: Flags): LinuxResources {
  for (const name of notYet)
    if (flags.text(name) !== undefined) throw new EngineError("not-implemented", `--${name}: not supported yet`);
  const number = (name: string): number | undefined => flags.wholeNumber(name);
  return decodeResources(
    dropAbsent({
      memory: dropAbsent({
        limit: bytesOf(flags, "memory"),
        reservation: bytesOf(flags, "memory-reservation"),
        swap: bytesOf(flags, "memory-swap"),
      }),
      cpu: dropAbsent({
        shares: number("cpu-share"),
        quota: number("cpu-quota"),
        period: number("cpu-period"),
        burst: number("cpu-burst"),
        realtimePeriod: number("cpu-rt-period"),
        realtimeRuntime: number("cpu-rt-runtime"),
        idle: number("cpu-idle"),
        cpus: flags.text("cpuset-cpus"),
        mems: flags.text("cpuset-mems"),
      }),
      blockIO: dropAbsent({ weight: number("blkio-weight") }),
      pids: dropAbsent({ limit: number("pids-limit") }),
    }),
  );
}

function dropAbsent(values: Readonly<Record<string, unknown>>): Record<string, unknown> | undefined {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return given.length === 0 ? undefined : Object.fromEntries(given);
}

/** The configuration's text with the new limits: those that are not named stay. */
function withResources(config: string, wanted: LinuxResources): string {
  const before = parseJsonExactly(config);
  const { linux } = checkOciSpec(before);
  const merged: Record<string, unknown> = { ...linux?.resources };
  for (const [name, value] of Object.entries(wanted)) {
    const old = merged[name];
    merged[name] = isPlain(value) && isPlain(old) ? { ...old, ...value } : value;
  }
  const whole = isPlain(before) ? before : {};
  return jsonExactly({ ...whole, linux: { ...(isPlain(whole["linux"]) ? whole["linux"] : {}), resources: merged } });
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** JSON.stringify does not write bigints. */
function jsonExactly(value: unknown): string {
  const mark = "\u0000n:";
  const text = JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? `${mark}${inner}` : inner));
  return text.replaceAll(/"\\u0000n:(-?\d+)"/g, "$1");
}

/** "5s", "500ms", "1m". @throws invalid-argument */
function intervalOf(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  const factor = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit ?? ""] ?? 0;
  const interval = Number(digits) * factor;
  if (!(interval > 0)) throw new EngineError("invalid-argument", "duration interval must be greater than 0");
  return interval;
}

export async function events(call: Call, flags: Flags): Promise<number> {
  const interval = intervalOf(flags.text("interval") ?? "5s");
  const found = findContainer(call, flags.args[0]);
  const isStopped = (): boolean => statusOf(found.directory, found.state, call.cgroups) === "stopped";
  if (isStopped()) throw new EngineError("conflict", `container with id ${found.id} is not running`);
  const cgroup = call.cgroups.open(found.state.cgroup);
  const print = (event: unknown): void => void process.stdout.write(`${jsonExactly(event)}\n`);
  const stats = (): void => print({ type: "stats", id: found.id, data: statsEvent(cgroup.stats()) });
  if (flags.on("stats")) {
    stats();
    return 0;
  }
  let kills = cgroup.oomKills();
  while (!isStopped()) {
    const now = cgroup.oomKills();
    for (; kills < now; kills++) print({ type: "oom", id: found.id });
    stats();
    await Bun.sleep(interval);
  }
  return 0;
}
