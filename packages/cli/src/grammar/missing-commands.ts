/**
 * Docker's commands that this CLI does not have, and why. Which endpoints the daemon has is another question: packages/api/src/routes/missing.ts.
 */

const swarm = "it belongs to a swarm, and Fathom's machines are in none";
const buildKit = "the daemon does not speak BuildKit's protocol yet; build works without it";
const plugins = "the daemon has no plugins";
const processState = "the daemon cannot write a container's processes to disk";

/** A group stands for all its commands. */
const missing: ReadonlyMap<string, string> = new Map([
  ["buildx", buildKit],
  ["search", "the daemon does not ask a registry for names yet"],
  ["checkpoint", processState],
  ["plugin", plugins],
  ["manifest", "it edits lists of images in a registry, which no daemon takes part in; skopeo and crane can do this"],
  ["trust", "it needs a Notary server, and Docker's own CLI has removed it in version 29"],
  ["swarm", swarm],
  ["service", swarm],
  ["stack", swarm],
  ["node", swarm],
  ["secret", swarm],
  ["config", swarm],
  ["volume update", "only volumes of a cluster can be updated, and they belong to a swarm"],
]);

/** The command's or group's name, and why it is missing; undefined for words that docker does not know either. */
export function missingCommand(
  words: readonly string[],
): { readonly name: string; readonly reason: string } | undefined {
  for (const name of [words.slice(0, 2).join(" "), words[0] ?? ""]) {
    const reason = missing.get(name);
    if (reason !== undefined) return { name, reason };
  }
  return undefined;
}
