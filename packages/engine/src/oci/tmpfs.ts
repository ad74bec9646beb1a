/** Options of a tmpfs from the user, added to Docker's defaults. */
import { EngineError } from "@fathom/base";

/** Words that exclude each other: of each group the last one counts. */
const groups: readonly (readonly string[])[] = [
  ["ro", "rw"],
  ["suid", "nosuid"],
  ["dev", "nodev"],
  ["exec", "noexec"],
  ["sync", "async"],
  ["dirsync"],
  ["remount"],
  ["mand", "nomand"],
  ["atime", "noatime"],
  ["diratime", "nodiratime"],
  ["relatime", "norelatime"],
  ["strictatime", "nostrictatime"],
  ["bind", "rbind", "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"],
];
const groupOf: ReadonlyMap<string, number> = new Map(
  groups.flatMap((words, index) => words.map((word) => [word, index] as const)),
);
const dataNames: ReadonlySet<string> = new Set(["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"]);

/** The name of a word: "size" of "size=1m". @throws invalid-argument 'invalid tmpfs option "x"' */
export function tmpfsOptionName(word: string): string {
  const name = word.split("=", 1)[0] ?? "";
  if (word === "defaults" || groupOf.has(word) || (word.includes("=") && dataNames.has(name))) return name;
  throw new EngineError("invalid-argument", `invalid tmpfs option ${JSON.stringify(name)}`);
}

/** @throws invalid-argument 'invalid tmpfs option "x"' */
export function tmpfsOptions(asked: readonly string[]): string[] {
  const words = ["noexec", "nosuid", "nodev", "rprivate", ...asked];
  const last = new Map<number | string, number>();
  for (const [index, word] of words.entries()) {
    const name = tmpfsOptionName(word);
    if (word !== "defaults") last.set(groupOf.get(word) ?? name, index);
  }
  const kept = new Set(last.values());
  return words.filter((_word, index) => kept.has(index));
}
