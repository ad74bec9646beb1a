/** Where the local driver has what. */
import { mkdirSync, realpathSync, rmdirSync } from "node:fs";
import { join } from "node:path";

/** Where the directories of removed volumes are moved. Made in advance: removing must not need space. */
export const removingName = ".removing";
const dataName = "_data";

export class LocalPlace {
  readonly #realRoot: string;

  /** @param root `/var/lib/fathom/volumes`; made where it is missing */
  constructor(readonly root: string) {
    // Container users other than root walk through it.
    mkdirSync(root, { recursive: true, mode: 0o711 });
    mkdirSync(join(root, removingName), { recursive: true, mode: 0o700 });
    this.#realRoot = realpathSync(root);
  }

  /** Of a volume, with its data and its description. */
  directory(name: string): string {
    return join(this.root, name);
  }

  data(name: string): string {
    return join(this.root, name, dataName);
  }

  /** The data as the kernel names it, should the root be a symlink. */
  mountTarget(name: string): string {
    return join(this.#realRoot, name, dataName);
  }

  /** Where removed volumes wait until their bytes are freed; of the volume `name` there. */
  removing(name = ""): string {
    return join(this.root, removingName, name);
  }
}

/** False where it is there already, perhaps with something mounted on it: that is not looked at, its server may be away. */
export function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o755 });
    return true;
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
    return false;
  }
}

/** As `makeDirectory`: it may be gone already. */
export function removeDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
