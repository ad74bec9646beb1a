/** The directories of one cgroup: where it is in each hierarchy, which one shows its processes, what is below it, and its removal. */
import { posix } from "node:path";
import { errnoOf } from "@fathom/base";
import type { CgroupHierarchyView } from "../compile/cgroup-mounts.ts";
import type { CgroupFileSystem } from "./filesystem.ts";
import { selectorsOf, type Hierarchy } from "./hierarchies.ts";

export function directoryOf(hierarchy: Hierarchy, path: string): string {
  return posix.join(hierarchy.mountPoint, path);
}

export function viewOf(hierarchy: Hierarchy, path: string): CgroupHierarchyView {
  const { version, mountPoint } = hierarchy;
  return { version, mountPoint, directory: directoryOf(hierarchy, path), selectors: selectorsOf(hierarchy) };
}

export function unifiedOf<H extends { readonly version: 1 | 2 }>(hierarchies: readonly H[]): H | undefined {
  return hierarchies.find(({ version }) => version === 2);
}

/** v2 if there is one; else the hierarchy in which a container most probably was not moved. */
export function processDirectory(hierarchies: readonly CgroupHierarchyView[]): string | undefined {
  const by = (name: string) => hierarchies.find(({ selectors }) => selectors.some(([key]) => key === name));
  return (unifiedOf(hierarchies) ?? by("pids") ?? by("devices") ?? hierarchies[0])?.directory;
}

/** Cgroups below this one, the deepest first: a container may make its own. */
export function cgroupsBelow(fs: CgroupFileSystem, directory: string): string[] {
  let names: string[];
  try {
    names = fs.directories(directory);
  } catch {
    return [];
  }
  return names.flatMap((name) => [...cgroupsBelow(fs, `${directory}/${name}`), `${directory}/${name}`]);
}

/** Removes a cgroup and those below it. False when one of them still has processes. */
export function removeCgroup(fs: CgroupFileSystem, directory: string): boolean {
  if (isRemoved(fs, directory)) return true;
  const below = cgroupsBelow(fs, directory);
  return below.length > 0 && below.every((inner) => isRemoved(fs, inner)) && isRemoved(fs, directory);
}

function isRemoved(fs: CgroupFileSystem, directory: string): boolean {
  try {
    fs.rmdir(directory);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return true;
    if (["EBUSY", "ENOTEMPTY"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}
