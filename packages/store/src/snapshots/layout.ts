/**
 * The overlay2 layout, as Docker's users know it:
 *
 *   overlay2/<id>/diff       the files of the layer
 *   overlay2/<id>/link       its short name, 26 upper-case letters and digits
 *   overlay2/<id>/lower      "l/A:l/B" of the layers below, the nearest first; missing for the lowest
 *   overlay2/<id>/work       for overlayfs; missing in the lowest image layer
 *   overlay2/<id>/merged     where a container's file system may be mounted
 *   overlay2/<id>/committed  empty; image layers only
 *   overlay2/l/<SHORT>       → ../<id>/diff
 *   overlay2/trash/<name>    trees that are being removed
 *
 * Docker puts an init layer (empty /etc/hosts, /dev/console, … as mount points) between image and container. Here the launcher makes missing
 * mount points itself, so there is no init layer.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomId, isErrno } from "@fathom/base";

export interface OverlayLayout {
  /** overlay2 itself. */
  readonly directory: string;
  /** Makes overlay2/<id>/diff, owned by the running user, mode 0755. @throws EEXIST */
  make(id: string): void;
  /** Writes link and lower of a directory that `make` made, with its short name. */
  place(id: string, link: string, lowerLinks: readonly string[]): void;
  makeWork(id: string): void;
  makeMerged(id: string): void;
  markCommitted(id: string): void;
  diff(id: string): string;
  work(id: string): string;
  merged(id: string): string;
  /** Absolute path of a short link. */
  linkPath(link: string): string;
  /** Moves directories and links out of the layout at once; `emptyTrash` frees them later. A missing one is no error. */
  discard(id: string, link: string | undefined): void;
  /** Ids of all layer directories, with a row or not. */
  ids(): string[];
  /** Short links with their target's id; undefined for a link that is not ours. */
  links(): string[];
  trashDirectory: string;
}

const base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const reserved = new Set(["l", "trash"]);

/** 26 characters of A–Z and 2–7: 130 random bits. Short, so that many layers fit into the options of mount(2). */
export function randomLink(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(26));
  let text = "";
  for (const byte of bytes) text += base32[byte & 31];
  return text;
}

export function createLayout(root: string): OverlayLayout {
  const directory = join(root, "overlay2");
  const links = join(directory, "l");
  const trashDirectory = join(directory, "trash");
  mkdirSync(directory, { recursive: true, mode: 0o710 });
  mkdirSync(links, { recursive: true, mode: 0o700 });
  mkdirSync(trashDirectory, { recursive: true, mode: 0o700 });

  return {
    directory,
    trashDirectory,
    make(id) {
      mkdirSync(join(directory, id), { mode: 0o710 });
      // The umask changes mkdir's mode; containers see this one as the mode of "/".
      mkdirSync(join(directory, id, "diff"), { mode: 0o755 });
    },
    place(id, link, lowerLinks) {
      writeFileSync(join(directory, id, "link"), link, { mode: 0o644 });
      if (lowerLinks.length > 0)
        writeFileSync(join(directory, id, "lower"), lowerLinks.map((lower) => `l/${lower}`).join(":"), { mode: 0o644 });
      symlinkSync(`../${id}/diff`, join(links, link));
    },
    makeWork(id) {
      mkdirSync(join(directory, id, "work"), { mode: 0o700 });
    },
    makeMerged(id) {
      mkdirSync(join(directory, id, "merged"), { mode: 0o700 });
    },
    markCommitted(id) {
      writeFileSync(join(directory, id, "committed"), "", { mode: 0o600 });
    },
    diff: (id) => join(directory, id, "diff"),
    work: (id) => join(directory, id, "work"),
    merged: (id) => join(directory, id, "merged"),
    linkPath: (link) => join(links, link),
    discard(id, link) {
      if (link !== undefined) rmSync(join(links, link), { force: true });
      try {
        renameSync(join(directory, id), join(trashDirectory, randomId()));
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
      }
    },
    ids: () => readdirSync(directory).filter((name) => !reserved.has(name)),
    links: () => readdirSync(links),
  };
}
