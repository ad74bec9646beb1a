/** Commands about disk space. */
import type { Command } from "../grammar/command.ts";
import { none } from "./arguments.ts";
import { formatFlag, longFilterFlag } from "./shared-flags.ts";

const forceFlag = { name: "force", shorthand: "f", type: "bool", help: "Do not ask" } as const;

export const diskCommands: readonly Command[] = [
  {
    path: ["container", "prune"],
    aliases: [],
    usage: "[OPTIONS]",
    summary: "Remove all stopped containers",
    flags: [longFilterFlag, forceFlag],
    args: none,
    load: () => import("./disk/container-prune.ts"),
  },
  {
    path: ["image", "prune"],
    aliases: [],
    usage: "[OPTIONS]",
    summary: "Remove images that no name and no container uses",
    flags: [
      { name: "all", shorthand: "a", type: "bool", help: "Also images with a name that no container uses" },
      longFilterFlag,
      forceFlag,
    ],
    args: none,
    load: () => import("./disk/image-prune.ts"),
  },
  {
    path: ["volume", "prune"],
    aliases: [],
    usage: "[OPTIONS]",
    summary: "Remove volumes that have no name and that no container uses",
    flags: [
      { name: "all", shorthand: "a", type: "bool", help: "Also volumes with a name that no container uses" },
      longFilterFlag,
      forceFlag,
    ],
    args: none,
    load: () => import("./disk/volume-prune.ts"),
  },
  {
    path: ["system", "df"],
    aliases: [],
    usage: "[OPTIONS]",
    summary: "Show how much disk space images, containers, volumes and the build cache use",
    flags: [formatFlag, { name: "verbose", shorthand: "v", type: "bool", help: "Show each object" }],
    args: none,
    load: () => import("./disk/system-df.ts"),
  },
  {
    path: ["system", "prune"],
    aliases: [],
    usage: "[OPTIONS]",
    summary: "Remove stopped containers, unused networks, images without a name and the build cache",
    examples: [
      ["system df", "first look how much there is"],
      ["system prune --filter until=24h", "what is older than a day"],
    ],
    flags: [
      { name: "all", shorthand: "a", type: "bool", help: "Also images with a name that no container uses" },
      longFilterFlag,
      forceFlag,
      { name: "volumes", type: "bool", help: "Also volumes that have no name" },
    ],
    args: none,
    load: () => import("./disk/system-prune.ts"),
  },
];
