/** The flags of each command, as runc has them. */
import type { FlagTable } from "./parse.ts";

export const globalFlags: FlagTable = {
  values: ["log", "log-format", "root", "criu", "rootless"],
  switches: ["debug", "systemd-cgroup", "version", "help"],
  aliases: { v: "version", h: "help" },
  stopsAtArgument: true,
};

const launchValues = ["bundle", "console-socket", "pid-file", "preserve-fds"];
const launchSwitches = ["no-pivot", "no-new-keyring", "no-subreaper", "keep", "detach"];
const launchAliases = { b: "bundle", d: "detach" };

export const commandFlags = {
  create: { values: launchValues, switches: launchSwitches.slice(0, 2), aliases: launchAliases },
  run: { values: launchValues, switches: launchSwitches, aliases: launchAliases },
  start: { values: [], switches: [] },
  exec: {
    values: ["console-socket", "cwd", "user", "process", "pid-file", "process-label", "apparmor", "preserve-fds"],
    lists: ["env", "additional-gids", "cap", "cgroup"],
    switches: ["tty", "detach", "no-new-privs", "no-subreaper", "ignore-paused"],
    aliases: { e: "env", u: "user", t: "tty", d: "detach", g: "additional-gids", p: "process", c: "cap" },
    stopsAtArgument: true,
  },
  state: { values: [], switches: [] },
  kill: { values: [], switches: ["all"], aliases: { a: "all" } },
  delete: { values: [], switches: ["force"], aliases: { f: "force" } },
  list: { values: ["format"], switches: ["quiet"], aliases: { f: "format", q: "quiet" } },
  ps: { values: ["format"], switches: [], aliases: { f: "format" }, stopsAtArgument: true },
  pause: { values: [], switches: [] },
  resume: { values: [], switches: [] },
  update: {
    values: [
      "resources",
      "blkio-weight",
      "cpu-period",
      "cpu-quota",
      "cpu-burst",
      "cpu-share",
      "cpu-rt-period",
      "cpu-rt-runtime",
      "cpuset-cpus",
      "cpuset-mems",
      "kernel-memory",
      "kernel-memory-tcp",
      "memory",
      "memory-reservation",
      "memory-swap",
      "pids-limit",
      "l3-cache-schema",
      "mem-bw-schema",
      "cpu-idle",
    ],
    switches: [],
    aliases: { r: "resources" },
  },
  events: { values: ["interval"], switches: ["stats"] },
  spec: { values: ["bundle"], switches: ["rootless"], aliases: { b: "bundle" } },
  features: { values: [], switches: [] },
} as const satisfies Record<string, FlagTable>;

export type CommandName = keyof typeof commandFlags;

export function isCommand(name: string): name is CommandName {
  return Object.hasOwn(commandFlags, name);
}
