/** Commands about images. */
import type { Command } from "../grammar/command.ts";
import { many, none, one } from "./arguments.ts";
import { filterFlag, formatFlag, noTruncateFlag, platformFlag, quietFlag } from "./shared-flags.ts";

export const imageCommands: readonly Command[] = [
  {
    path: ["pull"],
    aliases: [["image", "pull"]],
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    summary: "Fetch an image from a registry",
    flags: [
      { name: "all-tags", shorthand: "a", type: "bool", help: "Every tag of the repository" },
      platformFlag,
      quietFlag("No progress"),
    ],
    args: one,
    completeArgs: "images",
    load: () => import("./image/pull.ts"),
  },
  {
    path: ["images"],
    aliases: [
      ["image", "ls"],
      ["image", "list"],
    ],
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    summary: "List images",
    flags: [
      { name: "all", shorthand: "a", type: "bool", help: "Also intermediate images" },
      { name: "digests", type: "bool", help: "With digests" },
      filterFlag,
      formatFlag,
      noTruncateFlag,
      quietFlag("Only ids"),
    ],
    args: { min: 0, max: 1 },
    completeArgs: "images",
    load: () => import("./image/images.ts"),
  },
  {
    path: ["image", "inspect"],
    aliases: [],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    summary: "Print all details of images",
    flags: [{ ...formatFlag, shorthand: "f" }, platformFlag],
    args: many,
    completeArgs: "images",
    load: () => import("./image/image-inspect.ts"),
  },
  {
    path: ["history"],
    aliases: [["image", "history"]],
    usage: "[OPTIONS] IMAGE",
    summary: "Show how an image was made",
    flags: [
      formatFlag,
      { name: "human", shorthand: "H", type: "bool", default: true, help: "Sizes and dates for people" },
      noTruncateFlag,
      platformFlag,
      quietFlag("Only ids"),
    ],
    args: one,
    completeArgs: "images",
    load: () => import("./image/history.ts"),
  },
  {
    path: ["tag"],
    aliases: [["image", "tag"]],
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    summary: "Give an image another name",
    flags: [],
    args: { min: 2, max: 2 },
    completeArgs: "images",
    load: () => import("./image/tag.ts"),
  },
  {
    path: ["rmi"],
    aliases: [
      ["image", "rm"],
      ["image", "remove"],
    ],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    summary: "Remove images",
    flags: [
      { name: "force", shorthand: "f", type: "bool", help: "Even if other names or stopped containers use it" },
      { name: "no-prune", type: "bool", help: "Keep untagged parents" },
    ],
    args: many,
    completeArgs: "images",
    load: () => import("./image/rmi.ts"),
  },
  {
    path: ["load"],
    aliases: [["image", "load"]],
    usage: "[OPTIONS]",
    summary: "Load images from an archive (OCI layout or docker save), from stdin by default",
    flags: [
      { name: "input", shorthand: "i", type: "string", help: "Read from a file", complete: "files" },
      platformFlag,
      quietFlag("No progress"),
    ],
    args: none,
    load: () => import("./image/load.ts"),
  },
  {
    path: ["save"],
    aliases: [["image", "save"]],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    summary: "Write images to an archive, to stdout by default",
    flags: [
      { name: "output", shorthand: "o", type: "string", help: "Write to a file", complete: "files" },
      platformFlag,
    ],
    args: many,
    completeArgs: "images",
    load: () => import("./image/save.ts"),
  },
];
