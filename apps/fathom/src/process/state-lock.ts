/** Things that only one daemon may have at a time. Locks protect them; the kernel drops the locks with the process, however it ends. */
import { fstatSync, mkdirSync, readlinkSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "@fathom/base";
import { O_CLOEXEC, O_CREAT, O_NOFOLLOW, O_RDWR, type Sys } from "@fathom/sys";

/** @throws conflict when another daemon holds it */
export function lockStateDirectory(sys: Sys, directory: string): Disposable {
  mkdirSync(directory, { recursive: true, mode: 0o710 });
  const fd = tryLock(sys, join(directory, "daemon.lock"));
  if (fd === undefined)
    throw new EngineError(
      "conflict",
      `another daemon uses ${directory}: stop it, or give this one a directory of its own (--data-root, --exec-root)`,
    );
  return { [Symbol.dispose]: () => sys.close(fd) };
}

/**
 * The bridge and the rules with its name, in this network namespace: when a daemon ends without containers, it removes both. The lock is a file
 * of root in /run whose name contains both; the daemon removes it.
 * @throws conflict when another daemon holds it
 */
export function lockBridge(sys: Sys, bridgeName: string, directory = "/run"): Disposable {
  const namespace = /\d+/.exec(readlinkSync("/proc/self/ns/net"))?.[0] ?? "";
  const path = join(directory, `fathom-${bridgeName}-${namespace}.lock`);
  mkdirSync(directory, { recursive: true });
  for (;;) {
    const fd = tryLock(sys, path);
    if (fd === undefined)
      throw new EngineError(
        "conflict",
        `another daemon has the bridge ${bridgeName} here: stop it, or give this one a bridge of its own (--bridge NAME) or a network namespace of its own`,
      );
    // Its holder may have removed it between the open and the lock; then the next daemon would make a new file.
    if (statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino)
      return {
        [Symbol.dispose]: () => {
          rmSync(path, { force: true });
          sys.close(fd);
        },
      };
    sys.close(fd);
  }
}

/** @throws conflict when another registry holds it */
export function lockRegistryRoot(sys: Sys, directory: string): Disposable {
  const fd = tryLock(sys, join(directory, "registry.lock"));
  if (fd === undefined)
    throw new EngineError("conflict", `another registry uses ${directory}: stop it, or give this one another --root`);
  return { [Symbol.dispose]: () => sys.close(fd) };
}

function tryLock(sys: Sys, path: string): number | undefined {
  const fd = sys.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600);
  if (sys.tryFlock(fd, true)) return fd;
  sys.close(fd);
  return undefined;
}
