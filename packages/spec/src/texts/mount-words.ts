/** The option words of mount(8) that are flags of the mount itself, for OCI configurations and volumes. */

export type MountFlag =
  | "readonly"
  | "nosuid"
  | "nodev"
  | "noexec"
  | "noatime"
  | "relatime"
  | "strictatime"
  | "nodiratime"
  | "nosymfollow";

export interface MountWord {
  readonly flag: MountFlag;
  /** False for the word that clears the flag. */
  readonly set: boolean;
}

const flags: readonly (readonly [flag: MountFlag, set: string, clear: string])[] = [
  ["readonly", "ro", "rw"],
  ["nosuid", "nosuid", "suid"],
  ["nodev", "nodev", "dev"],
  ["noexec", "noexec", "exec"],
  ["noatime", "noatime", "atime"],
  ["relatime", "relatime", "norelatime"],
  ["strictatime", "strictatime", "nostrictatime"],
  ["nodiratime", "nodiratime", "diratime"],
  ["nosymfollow", "nosymfollow", "symfollow"],
];

/** By word. Words that are not in it are no flags of a mount: a bind, a propagation, or an option of the file system. */
export const mountWords: ReadonlyMap<string, MountWord> = new Map(
  flags.flatMap(([flag, set, clear]): [string, MountWord][] => [
    [set, { flag, set: true }],
    [clear, { flag, set: false }],
  ]),
);
