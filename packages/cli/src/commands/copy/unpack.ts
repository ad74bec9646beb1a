/**
 * Unpacks a container's files into a local folder. Nothing is written outside it: a name with ".." is refused, and so is a name whose way leads
 * through a symlink that came from the archive.
 */
import { namePath, nameText, TarReader, type TarEntry } from "@fathom/archive";
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { renamed, type CopyPlan } from "./paths.ts";

type Path = string | Buffer;

export class Unpacker {
  readonly #folder: string;
  readonly #rename: CopyPlan["rename"];
  readonly #reader: TarReader;
  /** Names of the symlinks that this archive made. */
  readonly #links = new Set<string>();
  /** The times of folders are set at the end: each new file in a folder changes them. */
  readonly #folders: (readonly [Path, number, number])[] = [];
  #entry: TarEntry | undefined;
  #path: Path = "";
  #fd = -1;

  constructor(plan: CopyPlan) {
    this.#folder = plan.folder;
    this.#rename = plan.rename && {
      from: Buffer.from(plan.rename.from).toString("latin1"),
      to: Buffer.from(plan.rename.to).toString("latin1"),
    };
    this.#reader = new TarReader({
      entry: (entry) => this.#begin(entry),
      data: (chunk, offset) => this.#write(chunk, offset),
      end: () => this.#end(),
    });
  }

  /** @throws EngineError, Error when a file cannot be written */
  push(chunk: Uint8Array): void {
    this.#reader.push(chunk);
  }

  finish(): void {
    this.#reader.finish();
    for (const [path, mode, time] of this.#folders.toReversed()) {
      chmodSync(path, mode);
      lutimesSync(path, time, time);
    }
  }

  /** Closes the file that an error has left open. */
  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  /** The place of a name inside the folder. */
  #inside(name: string): { readonly path: Path; readonly relative: string } {
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes(".."))
      throw new Error(`${JSON.stringify(nameText(name))} is outside of ${JSON.stringify(this.#folder)}`);
    for (let end = 1; end < parts.length; end++)
      if (this.#links.has(parts.slice(0, end).join("/")))
        throw new Error(`${JSON.stringify(nameText(name))} leads through a symlink of the same archive`);
    const relative = parts.join("/");
    const found = namePath(relative);
    const folder = this.#folder === "/" ? "" : this.#folder;
    return {
      path:
        typeof found === "string"
          ? `${folder}/${found}`
          : Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(found)]),
      relative,
    };
  }

  #begin(entry: TarEntry): void {
    const { path, relative } = this.#inside(renamed(entry.path, this.#rename));
    this.#entry = entry;
    this.#path = path;
    const there = lstatSync(path, { throwIfNoEntry: false });
    if (there !== undefined) {
      const kinds = [there.isDirectory(), entry.kind === "directory"];
      if (kinds[0] && !kinds[1])
        throw new Error(
          `cannot overwrite directory ${JSON.stringify(String(path))} with non-directory ${JSON.stringify(this.#folder)}`,
        );
      if (!kinds[0] && kinds[1])
        throw new Error(
          `cannot overwrite non-directory ${JSON.stringify(String(path))} with directory ${JSON.stringify(this.#folder)}`,
        );
      if (!kinds[0]) unlinkSync(path);
    }
    switch (entry.kind) {
      case "directory":
        if (there === undefined) mkdirSync(path);
        if (relative !== "" || there === undefined) this.#folders.push([path, entry.mode, seconds(entry)]);
        break;
      case "file":
        this.#fd = openSync(path, "wx", entry.mode);
        break;
      case "symlink":
        symlinkSync(asPath(entry.linkPath), path);
        this.#links.add(relative);
        break;
      case "hardlink":
        linkSync(this.#inside(renamed(entry.linkPath, this.#rename)).path, path);
        // A hard link to a symlink is one too.
        if (lstatSync(path).isSymbolicLink()) this.#links.add(relative);
        break;
      case "fifo":
      case "character-device":
      case "block-device":
        makeNode(entry, path);
        break;
      case "socket":
    }
  }

  #write(chunk: Uint8Array, offset: number): void {
    for (let done = 0; done < chunk.length;)
      done += writeSync(this.#fd, chunk, done, chunk.length - done, offset + done);
  }

  #end(): void {
    const entry = this.#entry!;
    if (entry.kind === "file") {
      // A hole at the end of a sparse file has no data.
      if (entry.sparse) ftruncateSync(this.#fd, entry.size);
      this.close();
    }
    if (entry.kind === "directory" || entry.kind === "hardlink") return;
    if (entry.kind !== "symlink") chmodSync(this.#path, entry.mode);
    lutimesSync(this.#path, seconds(entry), seconds(entry));
  }
}

function asPath(name: string): Path {
  const path = namePath(name);
  return typeof path === "string" ? path : Buffer.from(path);
}

function seconds({ mtimeNs }: TarEntry): number {
  return Number(mtimeNs) / 1e9;
}

/** This runtime has no mknod; every Linux has the program. */
function makeNode(entry: TarEntry, path: Path): void {
  const kind = { fifo: "p", "character-device": "c", "block-device": "b" }[String(entry.kind)]!;
  const numbers = entry.kind === "fifo" ? [] : [String(entry.deviceMajor), String(entry.deviceMinor)];
  const made = Bun.spawnSync(["mknod", String(path), kind, ...numbers], { stdout: "ignore", stderr: "pipe" });
  if (made.exitCode !== 0) throw new Error(made.stderr.toString().trim());
}
