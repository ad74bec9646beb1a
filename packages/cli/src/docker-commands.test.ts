/**
 * Each command and flag that the docker CLI shows in its help, beside ours. docs/commands.md is the table; `FATHOM_WRITE_DOCS=1` writes it anew.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { commands, type Command, type FlagDefinition } from "./index.ts";
import { globalFlags } from "./grammar/global-options.ts";
import { missingCommand } from "./grammar/missing-commands.ts";

const document = join(import.meta.dir, "../../../docs/commands.md");

/** Groups that belong to a swarm: Fathom's machines are in none. */
const swarmGroups = ["config", "node", "secret", "service", "stack", "swarm"];

const windows = "only for containers of Windows";
const clusterVolumes = "only for volumes of a cluster, which belong to a swarm";
const checkpoints = "the daemon cannot write a container's processes to disk";

/** Flags that this CLI does not have, and why. */
const missingFlags: ReadonlyMap<string, string> = new Map([
  ...["run", "create"].flatMap((name) => [
    ...["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops", "isolation"].map(
      (flag) => [`${name} --${flag}`, windows] as const,
    ),
    [`${name} --kernel-memory`, "no kernel with cgroup v2 has this limit, and Docker's daemon ignores it"] as const,
    [`${name} --use-api-socket`, "an experiment of Docker's CLI that gives the container the daemon's socket"] as const,
  ]),
  ["build --compress", "the context does not leave this machine"],
  ["build --isolation", windows],
  ["build --squash", "an experiment of Docker's classic builder"],
  ["images --tree", "an experiment; the daemon keeps one platform of an image"],
  ["rmi --platform", "the daemon keeps one platform of an image"],
  ["network inspect --verbose", "it shows services of a swarm"],
  ["start --checkpoint", checkpoints],
  ["start --checkpoint-dir", checkpoints],
  ...[
    "availability",
    "group",
    "limit-bytes",
    "required-bytes",
    "scope",
    "secret",
    "sharing",
    "topology-preferred",
    "topology-required",
    "type",
  ].map((flag) => [`volume create --${flag}`, clusterVolumes] as const),
  ["volume ls --cluster", clusterVolumes],
]);

interface Flag {
  readonly name: string;
  readonly shorthand: string | undefined;
  /** The word after the flag in the help; "" for a switch. */
  readonly type: string;
}

interface Page {
  readonly path: readonly string[];
  readonly children: readonly string[];
  readonly flags: readonly Flag[];
  readonly aliases: readonly string[];
}

async function helpOf(path: readonly string[]): Promise<string> {
  const child = Bun.spawn(["docker", ...path, "--help"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    // No plugin of this machine, no context of this user.
    env: { PATH: process.env["PATH"], HOME: "/nonexistent", DOCKER_HOST: "unix:///nonexistent", DOCKER_BUILDKIT: "0" },
  });
  return new Response(child.stdout).text();
}

async function pageOf(path: readonly string[]): Promise<Page> {
  const text = await helpOf(path);
  const children = [
    ...text.matchAll(/^[A-Z][A-Za-z ]*Commands:\n((?: {2}.*\n)+)|^Commands:\n((?: {2}.*\n)+)/gm),
  ].flatMap(([, some, more]) =>
    (some ?? more ?? "").split("\n").flatMap((line) => /^ {2}([a-z-]+)/.exec(line)?.[1] ?? []),
  );
  const flags = [...text.matchAll(/^ {2,6}(?:-(\w), )?--([a-z0-9-]+)(?: ([A-Za-z0-9]+))?(?: {3}|$)/gm)].map(
    ([, shorthand, name, type]) => ({ name: name!, shorthand, type: type ?? "" }),
  );
  const aliases = (/^Aliases:\n {2}(.*)$/m.exec(text)?.[1] ?? "").split(", ").filter((word) => word !== "");
  return { path, children, flags, aliases };
}

/** All commands without children, in the order of docker's pages. */
async function leavesOf(path: readonly string[]): Promise<readonly Page[]> {
  const page = await pageOf(path);
  if (page.children.length === 0) return [page];
  const names = path.length === 0 ? page.children.filter((name) => !swarmGroups.includes(name)) : page.children;
  return (await Promise.all([...new Set(names)].map((name) => leavesOf([...path, name])))).flat();
}

function ourCommand(path: readonly string[]): Command | undefined {
  const name = path.join(" ");
  return commands.find((command) => [command.path, ...command.aliases].some((one) => one.join(" ") === name));
}

const typeWord = (flag: FlagDefinition): string => (flag.type === "bool" ? "" : (flag.typeName ?? flag.type));

/** What is different about docker's flags, as "command --flag: …". */
function differences(name: string, flags: readonly Flag[], ours: readonly FlagDefinition[]): readonly string[] {
  return flags
    .filter((flag) => flag.name !== "help")
    .flatMap(({ name: flag, shorthand, type }) => {
      const own = ours.find((one) => one.name === flag);
      const reason = missingFlags.get(`${name} --${flag}`);
      if (own === undefined) return reason === undefined ? [`${name} --${flag}: missing`] : [];
      if (reason !== undefined) return [`${name} --${flag}: is here, and is listed as missing`];
      if (own.shorthand !== shorthand)
        return [`${name} --${flag}: short form -${own.shorthand}, docker's -${shorthand}`];
      return typeWord(own) === type ? [] : [`${name} --${flag}: takes "${typeWord(own)}", docker's takes "${type}"`];
    });
}

/** One row of docs/commands.md. */
function row({ path, flags }: Page, own: Command | undefined): string {
  const name = path.join(" ");
  if (own === undefined) return `| \`${name}\` | no | ${missingCommand(path)?.reason ?? "?"} |`;
  const byReason = Map.groupBy(
    flags.flatMap((flag) => {
      const reason = missingFlags.get(`${own.path.join(" ")} --${flag.name}`);
      return reason === undefined ? [] : [{ flag: flag.name, reason }];
    }),
    ({ reason }) => reason,
  );
  const without = [...byReason].map(
    ([reason, list]) => `without ${list.map(({ flag }) => `\`--${flag}\``).join(", ")}: ${reason}`,
  );
  return `| \`${name}\` | yes | ${without.join("; ")} |`;
}

function documentOf(pages: readonly Page[]): string {
  const rows = pages.map((page) => row(page, ourCommand(page.path))).toSorted();
  const here = pages.filter(({ path }) => ourCommand(path) !== undefined).length;
  return (
    "# Docker's commands in this CLI\n\n" +
    `Docker's CLI 28 has ${pages.length} commands without the swarm family; \`fathom\` has ${here} of them, with the same flags where no reason is given.\n` +
    "`packages/cli/src/docker-commands.test.ts` compares both CLIs and writes this table (`FATHOM_WRITE_DOCS=1`).\n\n" +
    `| command | here | what is missing, and why |\n|---|---|---|\n${rows.join("\n")}\n`
  );
}

const version = Bun.which("docker") === null ? "" : Bun.spawnSync(["docker", "--version"]).stdout.toString();
/** Other versions have some other flags, so the lists and the table would be different. */
const unable = version.startsWith("Docker version 28.")
  ? undefined
  : `needs the docker CLI 28, here is: ${version.trim() || "none"}`;

test.skipIf(unable !== undefined)(
  `every command and flag of the docker CLI is here, or a list has the reason${unable === undefined ? "" : ` (${unable})`}`,
  async () => {
    const pages = await leavesOf([]);
    expect(pages.length).toBeGreaterThan(120);
    const unexplained: string[] = [];
    const used = new Set<string>();
    for (const { path, flags, aliases } of pages) {
      const name = path.join(" ");
      const own = ourCommand(path);
      const missing = missingCommand(path);
      if (own === undefined) {
        if (missing === undefined) unexplained.push(`${name}: missing`);
        continue;
      }
      if (missing !== undefined) unexplained.push(`${name}: is here, and is listed as missing`);
      unexplained.push(...differences(own.path.join(" "), flags, own.flags));
      for (const flag of flags) used.add(`${own.path.join(" ")} --${flag.name}`);
      for (const alias of aliases)
        if (ourCommand(alias.split(" ").slice(1)) !== own) unexplained.push(`${name}: the alias "${alias}" is missing`);
    }
    unexplained.push(...differences("docker", (await pageOf([])).flags, globalFlags));
    for (const flag of missingFlags.keys()) if (!used.has(flag)) unexplained.push(`${flag}: docker has no such flag`);
    expect(unexplained).toEqual([]);
    const text = documentOf(pages);
    if (process.env["FATHOM_WRITE_DOCS"] === "1") await Bun.write(document, text);
    expect(await Bun.file(document).text()).toBe(text);
  },
  120_000,
);
