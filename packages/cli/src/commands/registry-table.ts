/** Commands about registries. */
import type { Command } from "../grammar/command.ts";
import { one } from "./arguments.ts";
import { contentTrustFlag, platformFlag, quietFlag } from "./shared-flags.ts";

export const registryCommands: readonly Command[] = [
  {
    path: ["push"],
    aliases: [["image", "push"]],
    usage: "[OPTIONS] NAME[:TAG]",
    summary: "Send an image to a registry",
    flags: [
      { name: "all-tags", shorthand: "a", type: "bool", help: "Every tag of the repository" },
      { ...platformFlag, help: "Send only this platform of the image, as os/architecture/variant" },
      quietFlag("No progress"),
      contentTrustFlag,
    ],
    args: one,
    completeArgs: "images",
    load: () => import("./image/push.ts"),
  },
  {
    path: ["login"],
    aliases: [],
    usage: "[OPTIONS] [SERVER]",
    summary: "Keep the credentials of a registry, after a try",
    more: "Without SERVER it is Docker Hub.",
    examples: [["login -u ann --password-stdin registry.example.com < token", "without a terminal"]],
    flags: [
      { name: "password", shorthand: "p", type: "string", help: "Password or token (others can see it in ps)" },
      { name: "password-stdin", type: "bool", help: "Read the password or token from stdin" },
      { name: "username", shorthand: "u", type: "string", help: "User name" },
    ],
    args: { min: 0, max: 1 },
    completeArgs: "registries",
    load: () => import("./registry/login.ts"),
  },
  {
    path: ["logout"],
    aliases: [],
    usage: "[SERVER]",
    summary: "Forget the credentials of a registry",
    more: "Without SERVER it is Docker Hub.",
    flags: [],
    args: { min: 0, max: 1 },
    completeArgs: "registries",
    load: () => import("./registry/logout.ts"),
  },
];
