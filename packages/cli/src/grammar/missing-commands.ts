/**
 * Commands of docker that this CLI does not have, and what the user can do instead. Which of them the daemon has is another question:
 * packages/api/src/routes/missing.ts.
 */
import { programName } from "./help.ts";

const throughDocker = "";
const credentials = "fathom also uses what it stores in config.json";

/** How much of each command the daemon can do: all (""), a part (the text says which), or nothing (undefined). */
const missing: ReadonlyMap<string, string | undefined> = new Map([
  ["commit", throughDocker],
  ["push", throughDocker],
  ["diff", throughDocker],
  ["export", throughDocker],
  ["import", throughDocker],
  ["update", throughDocker],
  ["login", credentials],
  ["logout", credentials],
  ["cp", throughDocker],
  ["stats", throughDocker],
  ["build", undefined],
  ["buildx", undefined],
  ["compose", undefined],
  ["search", undefined],
  ["checkpoint", undefined],
  ["plugin", undefined],
  ["swarm", undefined],
  ["service", undefined],
  ["stack", undefined],
  ["system df", throughDocker],
  ["system prune", throughDocker],
  ["volume prune", throughDocker],
]);

/** The same command within its group: `container cp`, `image push`. */
const inGroups: Readonly<Record<string, readonly string[]>> = {
  container: ["commit", "cp", "diff", "export", "stats", "update"],
  image: ["build", "import", "push"],
};

/** The message instead of "unknown command". */
export function missingCommand(words: readonly string[], host: string): string | undefined {
  const [first = "", second = ""] = words;
  const name = [`${first} ${second}`, inGroups[first]?.includes(second) === true ? second : first].find((one) =>
    missing.has(one),
  );
  if (name === undefined) return undefined;
  const said = words.slice(0, name.includes(" ") || name !== first ? 2 : 1).join(" ");
  const what = missing.get(name);
  if (what === undefined) return `neither this CLI nor its daemon has ${JSON.stringify(said)} yet`;
  return (
    `this CLI has no ${JSON.stringify(said)} yet; the docker CLI does it with this daemon${what === "" ? "" : ` (${what})`}:\n\n` +
    `  DOCKER_HOST=${host} docker ${said} …\n\nRun '${programName} --help' for the commands of this CLI`
  );
}
