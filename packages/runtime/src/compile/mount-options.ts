/**
 * The option words of an OCI mount, sorted by their purpose. Words: runtime-spec config.md "Linux mount options", mount(8). Any other word
 * belongs to the file system ("size=64m", "mode=755").
 */
import { EngineError } from "@fathom/base";
import { mountWords, type MountWord } from "@fathom/spec";
import type { MountAttribute, Propagation } from "../plan/plan.ts";

export interface ParsedMountOptions {
  readonly bind: boolean;
  readonly recursiveBind: boolean;
  readonly remount: boolean;
  readonly set: readonly MountAttribute[];
  readonly clear: readonly MountAttribute[];
  readonly recursiveSet: readonly MountAttribute[];
  readonly recursiveClear: readonly MountAttribute[];
  /** In the given order. All but the last need an operation of their own. */
  readonly propagation: readonly Propagation[];
  /** For fsconfig: `[key]` is a flag. */
  readonly data: readonly (readonly [string] | readonly [string, string])[];
  readonly copyUp: boolean;
  /** Owners are mapped: in this mount, or with all mounts below it. */
  readonly idMap: "mount" | "tree" | undefined;
}

const propagationWords: ReadonlySet<string> = new Set<Propagation>([
  "private",
  "rprivate",
  "slave",
  "rslave",
  "shared",
  "rshared",
  "unbindable",
  "runbindable",
]);

/** Flags of the super block for which fsconfig has the same word. */
const superBlockWords: ReadonlySet<string> = new Set(["sync", "dirsync", "lazytime", "mand"]);

/** Words without an effect on a new mount: the defaults, or the reverse of a flag that nothing sets. */
const emptyWords: ReadonlySet<string> = new Set([
  "defaults",
  "async",
  "nolazytime",
  "nomand",
  "iversion",
  "noiversion",
  "silent",
  "loud",
]);

const atimeModes: ReadonlySet<MountAttribute> = new Set<MountAttribute>(["noatime", "relatime", "strictatime"]);

/** A later word overrides an earlier one, as in mount(8). */
class AttributeSets {
  readonly set = new Set<MountAttribute>();
  readonly clear = new Set<MountAttribute>();

  apply({ flag: attribute, set }: MountWord): void {
    if (set) {
      // The three access-time modes are one field of the kernel: the last one counts.
      if (atimeModes.has(attribute)) for (const mode of atimeModes) this.set.delete(mode);
      this.set.add(attribute);
      this.clear.delete(attribute);
    } else {
      this.set.delete(attribute);
      this.clear.add(attribute);
    }
  }
}

export function isPropagation(word: string): word is Propagation {
  return propagationWords.has(word);
}

export function parseMountOptions(options: readonly string[], where: string): ParsedMountOptions {
  const own = new AttributeSets();
  const recursive = new AttributeSets();
  const propagation: Propagation[] = [];
  const data: (readonly [string] | readonly [string, string])[] = [];
  let bind = false;
  let recursiveBind = false;
  let remount = false;
  let copyUp = false;
  let idMap: ParsedMountOptions["idMap"];
  for (const word of options) {
    const effect = mountWords.get(word);
    const recursiveEffect = word.startsWith("r") ? mountWords.get(word.slice(1)) : undefined;
    if (effect !== undefined) own.apply(effect);
    else if (recursiveEffect !== undefined) recursive.apply(recursiveEffect);
    else if (isPropagation(word)) propagation.push(word);
    else if (word === "bind") bind = true;
    else if (word === "rbind") bind = recursiveBind = true;
    else if (word === "remount") remount = true;
    else if (word === "tmpcopyup") copyUp = true;
    else if (word === "idmap") idMap = "mount";
    else if (word === "ridmap") idMap = "tree";
    else if (superBlockWords.has(word)) data.push([word]);
    else if (word !== "" && !emptyWords.has(word)) data.push(splitDatum(word, where));
  }
  return {
    bind,
    recursiveBind,
    remount,
    set: [...own.set],
    clear: [...own.clear],
    recursiveSet: [...recursive.set],
    recursiveClear: [...recursive.clear],
    propagation,
    data,
    copyUp,
    idMap,
  };
}

function splitDatum(word: string, where: string): readonly [string] | readonly [string, string] {
  if (word.includes("\0")) throw new EngineError("invalid-argument", `${where}: a mount option holds a NUL byte`);
  const at = word.indexOf("=");
  if (at === 0) throw new EngineError("invalid-argument", `${where}: mount option "${word}" has no name`);
  return at < 0 ? [word] : [word.slice(0, at), word.slice(at + 1)];
}
