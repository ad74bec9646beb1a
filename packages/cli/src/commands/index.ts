/** All commands of the CLI, as data. The code of each is loaded when it runs. */
import type { Command, CommandGroup } from "../grammar/command.ts";
import { buildCommands } from "./build-table.ts";
import { containerFilesCommands } from "./container-files-table.ts";
import { containerCommands } from "./container-table.ts";
import { contextCommands } from "./context-table.ts";
import { diskCommands } from "./disk-table.ts";
import { imageCommands } from "./image-table.ts";
import { networkCommands } from "./network-table.ts";
import { registryCommands } from "./registry-table.ts";
import { systemCommands } from "./system-table.ts";

export const groups: readonly CommandGroup[] = [
  { name: "container", summary: "Manage containers" },
  { name: "image", summary: "Manage images" },
  { name: "builder", summary: "Manage builds" },
  { name: "system", summary: "Look at the daemon and its disk space" },
  { name: "volume", summary: "Manage volumes" },
  { name: "context", summary: "Manage names for daemons" },
  { name: "network", summary: "Manage networks" },
];

export const commands: readonly Command[] = [
  ...containerCommands,
  ...containerFilesCommands,
  ...imageCommands,
  ...buildCommands,
  ...registryCommands,
  ...diskCommands,
  ...contextCommands,
  ...systemCommands,
  ...networkCommands,
];
