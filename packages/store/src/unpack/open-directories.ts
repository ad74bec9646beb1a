/** Enters a layer's directories: component by component, through descriptors, through no symlink. */
import { namePath } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import { isSysError, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFLNK, S_IFMT, type Sys } from "@fathom/sys";
import { isWhiteout, opaqueXattr, statChild } from "../tree/tree.ts";
import { refusal, shown } from "./entry-path.ts";

export const directoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** Limit for directories without an entry of their own: they are sent to another thread. */
const maxImplied = 100_000;
const maxImpliedBytes = 16 * 1024 * 1024;

const opaqueValue = Uint8Array.of(0x79);

/** Hides the content of that directory in the layers below. */
export function markOpaque(sys: Sys, at: number, name: string | Uint8Array): void {
  sys.setxattrat(at, name, opaqueXattr, opaqueValue);
}

interface OpenDirectory {
  /** Byte string of its name in the parent. */
  readonly name: string;
  readonly fd: number;
}

export class OpenDirectories {
  readonly #sys: Sys;
  readonly #rootFd: number;
  /** From the root down to the directory that was entered last: they stay open while the archive has entries near them. */
  #stack: OpenDirectory[] = [];
  /** Directories made on the way to an entry. Byte-string paths. */
  readonly #implied = new Set<string>();
  #impliedBytes = 0;

  constructor(sys: Sys, rootFd: number) {
    this.#sys = sys;
    this.#rootFd = rootFd;
  }

  /** Paths of directories that have no entry of their own. */
  get implied(): string[] {
    return [...this.#implied];
  }

  /** It has an entry of its own, or does not matter for the entries below. */
  notImplied(path: string): void {
    this.#implied.delete(path);
  }

  /**
   * Descriptor of a directory, which this object owns. Neighbours of the last one cost nothing.
   * @param of The entry's path, for errors.
   * @param make When it does not exist.
   */
  enter(of: string, parts: readonly string[], make = true): number {
    let common = 0;
    while (common < parts.length && this.#stack[common]?.name === parts[common]) common++;
    this.#close(common);
    for (const name of parts.slice(common)) {
      const at = this.#stack.at(-1)?.fd ?? this.#rootFd;
      this.#stack.push({ name, fd: this.open(of, at, name, make) });
    }
    return this.#stack.at(-1)?.fd ?? this.#rootFd;
  }

  /** The same for one component; the caller owns the descriptor. */
  open(of: string, at: number, name: string, make: boolean): number {
    const path = namePath(name);
    try {
      return this.#sys.openat2(at, path, { flags: directoryFlags });
    } catch (error) {
      if (isSysError(error, "ENOENT") && make) {
        this.#imply(of, name);
        this.#sys.mkdirat(at, path, 0o755);
        this.#sys.fchmodat(at, path, 0o755);
        return this.#sys.openat2(at, path, { flags: directoryFlags });
      }
      if (isSysError(error, "ELOOP", "ENOTDIR")) {
        const stat = statChild(this.#sys, at, path);
        if (stat !== undefined && isWhiteout(stat) && make) {
          // The whole directory of the layers below was removed, and this is a new one.
          this.#sys.unlinkat(at, path, 0);
          this.#sys.mkdirat(at, path, 0o755);
          markOpaque(this.#sys, at, path);
          return this.#sys.openat2(at, path, { flags: directoryFlags });
        }
        const what =
          ((stat?.mode ?? 0) & S_IFMT) === S_IFLNK ? "through a symlink" : "below something that is no directory";
        throw refusal(of, `it would be written ${what} (${shown(name)})`);
      }
      throw error;
    }
  }

  close(): void {
    this.#close(0);
  }

  /** `name` is made in the directory that was entered last. */
  #imply(of: string, name: string): void {
    const path = [...this.#stack.map((directory) => directory.name), name].join("/");
    if (this.#implied.has(path)) return;
    this.#impliedBytes += path.length;
    if (this.#implied.size >= maxImplied || this.#impliedBytes > maxImpliedBytes)
      throw new EngineError(
        "resource-exhausted",
        `unpacking ${shown(of)}: over the limit of ${maxImplied} directories (or ${maxImpliedBytes} bytes of their names) that have no entry of their own in the layer`,
      );
    this.#implied.add(path);
  }

  #close(keep: number): void {
    for (const { fd } of this.#stack.splice(keep)) this.#sys.close(fd);
  }
}
