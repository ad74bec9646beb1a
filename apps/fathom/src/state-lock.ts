/** One daemon a state directory: an exclusive lock that the kernel drops with the process, whatever ends it. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "@fathom/base";
import { O_CLOEXEC, O_CREAT, O_RDWR, type Sys } from "@fathom/sys";

/** @throws conflict when another daemon holds it */
export function lockStateDirectory(sys: Sys, directory: string): Disposable {
  mkdirSync(directory, { recursive: true, mode: 0o710 });
  const path = join(directory, "daemon.lock");
  const fd = sys.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600);
  if (!sys.tryFlock(fd, true)) {
    sys.close(fd);
    throw new EngineError(
      "conflict",
      `another daemon uses ${directory}: stop it, or give this one a directory of its own (--data-root, --exec-root)`,
    );
  }
  return { [Symbol.dispose]: () => sys.close(fd) };
}
