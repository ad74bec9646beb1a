/** Commands of the builder. */
import { parseReference } from "@fathom/spec";
import type { Command } from "../grammar/command.ts";
import { parseAddHost } from "../run-options/values.ts";
import { none } from "./arguments.ts";
import { contentTrustFlag, longFilterFlag, platformFlag, quietFlag } from "./shared-flags.ts";

function checkName(name: string): void {
  parseReference(name);
}

export const buildCommands: readonly Command[] = [
  {
    path: ["build"],
    aliases: [
      ["image", "build"],
      ["builder", "build"],
    ],
    usage: "[OPTIONS] PATH | -",
    summary: "Build an image from a Dockerfile and a directory",
    examples: [
      ["build -t app .", "the directory's Dockerfile"],
      ["build -f tools/Dockerfile --target test .", "one stage of another file"],
    ],
    flags: [
      {
        name: "file",
        shorthand: "f",
        type: "string",
        help: "The Dockerfile (PATH/Dockerfile by default; '-': stdin)",
        complete: "files",
      },
      { name: "tag", shorthand: "t", type: "list", check: checkName, help: "Name of the image (name:tag)" },
      { name: "build-arg", type: "list", help: "Value of an ARG (NAME=value, or NAME to pass this shell's)" },
      { name: "target", type: "string", help: "Build this stage" },
      { name: "label", type: "list", help: "Label of the image (key=value)" },
      { name: "no-cache", type: "bool", help: "Run every step" },
      { name: "pull", type: "bool", help: "Ask the registry for base images also when they are stored" },
      quietFlag("Only the image's id"),
      { name: "iidfile", type: "string", help: "Write the image's id to a file", complete: "files" },
      platformFlag,
      {
        name: "network",
        type: "string",
        help: "Network of RUN (default, none, host, or a network's name)",
        complete: "networks",
      },
      { name: "add-host", type: "list", help: "Host name for RUN (name:address)", check: parseAddHost },
      { name: "shm-size", type: "string", typeName: "bytes", help: "Size of /dev/shm" },
      { name: "memory", shorthand: "m", type: "string", typeName: "bytes", help: "Memory of each RUN" },
      { name: "memory-swap", type: "string", typeName: "bytes", help: "Memory and swap of each RUN" },
      { name: "cpu-shares", shorthand: "c", type: "int", help: "Relative weight" },
      { name: "cpu-period", type: "int", help: "Period of the CPU limit, in microseconds" },
      { name: "cpu-quota", type: "int", help: "CPU time in each period, in microseconds" },
      { name: "cpuset-cpus", type: "string", help: "CPUs (0-3, 0,1)" },
      { name: "cpuset-mems", type: "string", help: "Memory nodes (0-3, 0,1)" },
      { name: "cgroup-parent", type: "string", help: "The cgroup above those of RUN" },
      { name: "ulimit", type: "list", typeName: "ulimit", help: "Limit (nofile=1024:2048)" },
      { name: "security-opt", type: "list", typeName: "strings", help: "Security option of RUN" },
      {
        name: "cache-from",
        type: "list",
        typeName: "strings",
        help: "As in docker; the cache knows content, not images",
      },
      contentTrustFlag,
      { name: "force-rm", type: "bool", help: "As in docker; containers of steps are always removed" },
      {
        name: "rm",
        type: "bool",
        default: true,
        hidden: true,
        help: "As in docker; containers of steps are always removed",
      },
    ],
    args: { min: 1, max: 1 },
    load: () => import("./image/build.ts"),
  },
  {
    path: ["builder", "prune"],
    aliases: [],
    usage: "[OPTIONS]",
    summary: "Remove the cache of builds",
    flags: [
      { name: "all", shorthand: "a", type: "bool", help: "As in docker; every entry can be removed in any case" },
      longFilterFlag,
      { name: "force", shorthand: "f", type: "bool", help: "Do not ask" },
      { name: "keep-storage", type: "string", typeName: "bytes", help: "Keep the newest entries up to this size" },
    ],
    args: none,
    load: () => import("./disk/builder-prune.ts"),
  },
];
