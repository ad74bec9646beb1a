/** Commands about what is in a container and what it uses: its files, its limits, its figures. */
import type { Command } from "../grammar/command.ts";
import { checkBytes, checkDecimal, checkSwap, checkUint16 } from "../run-options/checks.ts";
import type { FlagDefinition } from "../grammar/flags.ts";
import { inContainer, many, one } from "./arguments.ts";
import { formatFlag, noTruncateFlag, platformFlag } from "./shared-flags.ts";

const changeFlag: FlagDefinition = {
  name: "change",
  shorthand: "c",
  type: "list",
  help: "Apply a line of a Dockerfile to the new image",
};

export const containerFilesCommands: readonly Command[] = [
  {
    path: ["cp"],
    aliases: inContainer("cp"),
    usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tfathom cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    summary: "Copy files between a container and this machine",
    more: "As the source, '-' reads a tar archive from stdin and unpacks it in a folder of the container.\nAs the destination, '-' writes a tar archive to stdout.",
    examples: [
      ["cp web:/etc/nginx/nginx.conf .", "a file out of a container"],
      ["cp ./site/. web:/srv", "the content of a folder into one"],
      ["cp web:/var/log - | tar t", "as an archive"],
    ],
    flags: [
      { name: "archive", shorthand: "a", type: "bool", help: "Keep all owners and groups (uid and gid)" },
      { name: "follow-link", shorthand: "L", type: "bool", help: "Follow a symlink in SRC_PATH" },
      { name: "quiet", shorthand: "q", type: "bool", help: "No progress; without a terminal there is none" },
    ],
    args: { min: 2, max: 2 },
    completeArgs: "copy",
    load: () => import("./copy/cp.ts"),
  },
  {
    path: ["diff"],
    aliases: inContainer("diff"),
    usage: "CONTAINER",
    summary: "List the files that a container has added (A), changed (C) and deleted (D)",
    flags: [],
    args: one,
    completeArgs: "containers",
    load: () => import("./files/diff.ts"),
  },
  {
    path: ["export"],
    aliases: inContainer("export"),
    usage: "[OPTIONS] CONTAINER",
    summary: "Write all files of a container to a tar archive, to stdout by default",
    flags: [{ name: "output", shorthand: "o", type: "string", help: "Write to a file", complete: "files" }],
    args: one,
    completeArgs: "containers",
    load: () => import("./files/export.ts"),
  },
  {
    path: ["commit"],
    aliases: inContainer("commit"),
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    summary: "Make an image of a container's changes",
    flags: [
      { name: "author", shorthand: "a", type: "string", help: 'Author, for example "Ann Example <ann@example.com>"' },
      changeFlag,
      { name: "message", shorthand: "m", type: "string", help: "Message" },
      { name: "pause", shorthand: "p", type: "bool", default: true, help: "Freeze the container meanwhile" },
    ],
    args: { min: 1, max: 2 },
    completeArgs: "containers",
    load: () => import("./files/commit.ts"),
  },
  {
    path: ["import"],
    aliases: [["image", "import"]],
    usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    summary: "Make an image of a tar archive with files",
    flags: [changeFlag, { name: "message", shorthand: "m", type: "string", help: "Message" }, platformFlag],
    args: { min: 1 },
    completeArgs: "files",
    load: () => import("./files/import.ts"),
  },
  {
    path: ["update"],
    aliases: inContainer("update"),
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    summary: "Change limits and the restart policy of containers",
    examples: [
      ["update --memory 512m --memory-swap 1g web", "less or more memory, at once"],
      ["update --restart unless-stopped web db", "start them again with the daemon"],
    ],
    flags: [
      {
        name: "blkio-weight",
        type: "uint",
        typeName: "uint16",
        help: "Share of the disk's time, 10 to 1000; 0 removes it",
        check: checkUint16,
      },
      { name: "cpu-period", type: "int", help: "Length of a CPU period, in microseconds" },
      { name: "cpu-quota", type: "int", help: "CPU time in each period, in microseconds" },
      { name: "cpu-rt-period", type: "int", help: "Length of a realtime period, in microseconds" },
      { name: "cpu-rt-runtime", type: "int", help: "Realtime CPU time in each period, in microseconds" },
      { name: "cpu-shares", shorthand: "c", type: "int", help: "Share of the CPUs" },
      { name: "cpus", type: "string", typeName: "decimal", help: "Number of CPUs", check: checkDecimal },
      { name: "cpuset-cpus", type: "string", help: "CPUs that may be used (0-3, 0,1)" },
      { name: "cpuset-mems", type: "string", help: "Memory nodes that may be used (0-3, 0,1)" },
      { name: "memory", shorthand: "m", type: "string", typeName: "bytes", help: "Memory limit", check: checkBytes },
      {
        name: "memory-reservation",
        type: "string",
        typeName: "bytes",
        help: "Soft limit of memory",
        check: checkBytes,
      },
      {
        name: "memory-swap",
        type: "string",
        typeName: "bytes",
        help: "Limit of memory and swap together; -1 for no limit",
        check: checkSwap,
      },
      { name: "pids-limit", type: "int", help: "Limit of processes; -1 for no limit" },
      {
        name: "restart",
        type: "string",
        help: "Restart policy",
        complete: ["no", "always", "on-failure", "unless-stopped"],
      },
    ],
    args: many,
    completeArgs: "containers",
    load: () => import("./container/update.ts"),
  },
  {
    path: ["stats"],
    aliases: inContainer("stats"),
    usage: "[OPTIONS] [CONTAINER...]",
    summary: "Show what containers use, again and again",
    examples: [
      ["stats", "all that run, like top"],
      ['stats --no-stream --format "{{.Name}} {{.CPUPerc}}"', "once, for a script"],
    ],
    flags: [
      { name: "all", shorthand: "a", type: "bool", help: "Also those that do not run" },
      formatFlag,
      { name: "no-stream", type: "bool", help: "Only once" },
      noTruncateFlag,
    ],
    args: { min: 0 },
    completeArgs: "containers",
    load: () => import("./stats/stats.ts"),
  },
];
