/** Local paths of `cp`: what is there, with symlinks followed as Docker does it. Errors in Go's words. */
import { isErrno } from "@fathom/base";
import { lstatSync, readlinkSync, realpathSync, statSync, type Stats } from "node:fs";
import { basename, dirname } from "node:path";
import { fileFailure } from "../../run-options/files.ts";
import { clean, followed, linkTarget, splitPath, type CopyPlace } from "./paths.ts";

/** As the kernel, and more than anybody nests on purpose. */
const maxLinks = 10;

function statOrNothing(path: string, stat: (path: string) => Stats, action: string): Stats | undefined {
  try {
    return stat(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw fileFailure(action, path, error);
  }
}

function mustStat(path: string): Stats {
  try {
    return lstatSync(path);
  } catch (error) {
    throw fileFailure("lstat", path, error);
  }
}

/** @throws Error that names the first part of the path that does not exist */
function realPath(path: string): string {
  let real: string;
  try {
    real = realpathSync(path);
  } catch (error) {
    if (isErrno(error, "ENOTDIR")) throw new Error("not a directory", { cause: error });
    const parts = clean(path).split("/");
    const ancestors = parts.map((_, index) => parts.slice(0, index + 1).join("/") || "/");
    const missing = ancestors.find((one) => lstatSync(one, { throwIfNoEntry: false }) === undefined);
    if (missing !== undefined) throw fileFailure("lstat", missing, error);
    const broken = ancestors.find((one) => statSync(one, { throwIfNoEntry: false }) === undefined) ?? clean(path);
    throw fileFailure(
      "lstat",
      lstatSync(broken).isSymbolicLink() ? linkTarget(broken, readlinkSync(broken)) : broken,
      error,
    );
  }
  if (path.endsWith("/") && !lstatSync(real).isDirectory()) throw new Error("not a directory");
  return real;
}

/** @param path absolute, with its trailing "/" or "/." */
export function localSource(path: string, followLink: boolean): CopyPlace {
  let source: { readonly path: string; readonly rebase: string };
  if (followLink) source = followed(path, realPath(path));
  else {
    // Symlinks before the last slash are resolved; the thing itself is copied as what it is.
    const slash = path.lastIndexOf("/");
    const folder = realPath(path.slice(0, slash + 1));
    const resolved = `${folder === "/" ? "" : folder}/${path.slice(slash + 1)}`;
    const name = basename(path);
    source = { path: resolved, rebase: path.endsWith("/") && name !== basename(resolved) ? name : "" };
  }
  return { ...source, exists: true, isDirectory: mustStat(source.path).isDirectory() };
}

/** @param path absolute, with its trailing "/" or "/." */
export function localTarget(path: string): CopyPlace {
  let place = path;
  let stat = statOrNothing(place, lstatSync, "lstat");
  for (let links = 0; stat?.isSymbolicLink() === true; links++) {
    if (links > maxLinks) throw new Error(`too many symlinks in ${path}`);
    place = linkTarget(place, readlinkSync(place));
    stat = statOrNothing(place, lstatSync, "lstat");
  }
  if (stat === undefined) {
    const { folder } = splitPath(place);
    const parent = statOrNothing(folder, statSync, "stat");
    if (parent === undefined) throw new Error(`stat ${folder}: no such file or directory`);
    if (!parent.isDirectory()) throw new Error("not a directory");
  }
  return { path: place, exists: stat !== undefined, isDirectory: stat?.isDirectory() === true, rebase: "" };
}

/** Before anything is copied. @throws Error in docker's words for a target that cannot work */
export function checkTarget(path: string): void {
  const folder = dirname(clean(path));
  if (folder !== "." && statOrNothing(folder, statSync, "stat") === undefined)
    throw new Error(`invalid output path: directory ${JSON.stringify(folder)} does not exist`);
  const stat = statOrNothing(path, statSync, "stat");
  if (stat !== undefined && (stat.isBlockDevice() || stat.isCharacterDevice()))
    throw new Error(`invalid output path: ${JSON.stringify(path)} must be a directory or a regular file: got a device`);
}
