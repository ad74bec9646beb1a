/** The paths of the local driver. */
import { mkdirSync, realpathSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "@fathom/base";

/** Directories of removed volumes are moved here. Made in advance, because removing must not need space. */
export const removingName = ".removing";
const dataName = "_data";

export class LocalPlace {
  readonly #realRoot: string;

  /** @param root `/var/lib/fathom/volumes`; made if it does not exist */
  constructor(readonly root: string) {
    // Users of containers other than root must pass through it.
    mkdirSync(root, { recursive: true, mode: 0o711 });
    mkdirSync(join(root, removingName), { recursive: true, mode: 0o700 });
    this.#realRoot = realpathSync(root);
  }

  /** The directory of a volume, with its data and its description. */
  directory(name: string): string {
    return join(this.root, name);
  }

  data(name: string): string {
    return join(this.root, name, dataName);
  }

  /** The data's path as the kernel names it, in case the root is a symlink. */
  mountTarget(name: string): string {
    return join(this.#realRoot, name, dataName);
  }

  /** Where removed volumes wait until their bytes are freed; the place of the volume `name` there. */
  removing(name = ""): string {
    return join(this.root, removingName, name);
  }
}

/** False when it exists already, perhaps with a mount on it: the mount is not opened, because its server may not answer. */
export function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o755 });
    return true;
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    return false;
  }
}

/** As `makeDirectory`; it may be removed already. */
export function removeDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
