/** For tests: the host's real files, with mounts in memory. Their calls can fail and hang: "files.mount", "files.unmount", … */
import type { Faults } from "@fathom/base/testing";
import type { HostFiles } from "@fathom/sys";

export interface FakeMount {
  readonly source: string;
  readonly type: string;
  readonly flags: number;
  readonly data: string;
}

/** @param mounts By target; they survive a daemon. The last one of a target counts: a remount comes after the mount. */
export function withFakeMounts(files: HostFiles, mounts: Map<string, FakeMount>, faults: Faults): HostFiles {
  const fake: HostFiles = {
    kindOf: (path) => files.kindOf(path),
    makeDirectory: (path) => files.makeDirectory(path),
    realPath: (path) => files.realPath(path),
    checkBeneath: (base, subpath) => files.checkBeneath(base, subpath),
    mount: async (source, target, type, flags, data) => void mounts.set(target, { source, type, flags, data }),
    unmount: async (target) => void mounts.delete(target),
    sync: (path) => files.sync(path),
    remove: async (path) => files.remove(path),
    readTree: files.readTree,
    writeTree: files.writeTree,
    isMounted: (path) => mounts.has(path),
    isLocal: (pid, mountId) => files.isLocal(pid, mountId),
  };
  return faults.wrap("files", fake);
}
