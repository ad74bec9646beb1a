/**
 * Paths of `cp`, by Docker's rules. "dir/." means the content of dir, "x/" must be a folder. A trailing "/" or "/." survives the cleaning of a path.
 * An archive holds one thing under its own name; the copy may need another name (a *rebase*).
 */
import { basename, dirname, join, normalize, resolve } from "node:path";

export interface CopyPlace {
  readonly path: string;
  readonly exists: boolean;
  readonly isDirectory: boolean;
  /** The name that the archive's entries get instead of the base of `path`; "" when they keep it. */
  readonly rebase: string;
}

const endsWithSlash = (path: string): boolean => path.endsWith("/");
const isContent = (path: string): boolean => path === "" || path === "." || path.endsWith("/.") || path.endsWith("/./");

/** As Go's filepath.Clean. */
export function clean(path: string): string {
  const short = normalize(path);
  return short.length > 1 && short.endsWith("/") ? short.slice(0, -1) : short;
}

/** `cleaned`, with the trailing "/." or "/" that `original` has. */
export function keepTrailing(cleaned: string, original: string): string {
  let path = cleaned;
  if (!isContent(path) && isContent(original)) path += endsWithSlash(path) ? "." : "/.";
  if (!endsWithSlash(path) && endsWithSlash(original)) path += "/";
  return path;
}

export function absolute(path: string): string {
  return keepTrailing(resolve(path), path);
}

/** The folder and the name in it. The content of a folder has the name ".". */
export function splitPath(path: string): { readonly folder: string; readonly base: string } {
  const cleaned = clean(path);
  return isContent(path)
    ? { folder: cleaned, base: "." }
    : { folder: dirname(cleaned), base: basename(cleaned) || "/" };
}

/** The target of a symlink at `link`, as a path. */
export function linkTarget(link: string, target: string): string {
  return target.startsWith("/") ? target : join(splitPath(link).folder, target);
}

/** What a followed symlink is copied from, and the name that the copy keeps. */
export function followed(path: string, target: string): { readonly path: string; readonly rebase: string } {
  const resolved = keepTrailing(target, path);
  const name = basename(path);
  return { path: resolved, rebase: name === basename(resolved) ? "" : name };
}

export interface CopyPlan {
  /** The folder into which the archive is unpacked. */
  readonly folder: string;
  /** Replaces the first `from` in the names of the entries. */
  readonly rename: { readonly from: string; readonly to: string } | undefined;
}

/** How an archive of `source` becomes `target`. @throws Error in docker's words when it cannot */
export function planCopy(source: CopyPlace, target: CopyPlace): CopyPlan {
  if (target.exists && target.isDirectory) return { folder: target.path, rename: undefined };
  if (target.exists && source.isDirectory) throw new Error("cannot copy directory");
  if (!target.exists && !source.isDirectory && (endsWithSlash(target.path) || isContent(target.path)))
    throw new Error("no such directory");
  const { folder, base } = splitPath(target.path);
  const from = source.rebase === "" ? splitPath(source.path).base : source.rebase;
  return { folder, rename: { from: from === "/" ? "" : from, to: base } };
}

/** `name` with the plan's new base. */
export function renamed(name: string, rename: CopyPlan["rename"]): string {
  return rename === undefined ? name : name.replace(rename.from, () => rename.to);
}

/** CONTAINER:PATH, or a local path: one that begins with "/" or ".", or has no colon. */
export function splitArgument(argument: string): { readonly container: string; readonly path: string } {
  const colon = argument.indexOf(":");
  if (argument.startsWith("/") || argument.startsWith(".") || colon < 0) return { container: "", path: argument };
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) };
}
