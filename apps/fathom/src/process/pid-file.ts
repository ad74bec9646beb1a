/** The file with the daemon's pid. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { EngineError } from "@fathom/base";

/**
 * Writes this process's pid; disposing removes the file, unless another process has replaced it. A file of a dead process is replaced.
 * @throws conflict when the process of the file runs
 */
export function takePidFile(path: string): Disposable {
  const holder = readPid(path);
  if (holder !== undefined && holder !== process.pid && isAlive(holder))
    throw new EngineError(
      "conflict",
      `${path}: process with PID ${holder} is still running: stop it, give this daemon a file of its own (--pidfile), or remove the file if that process is no daemon`,
    );
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  writeFileSync(path, `${process.pid}\n`, { mode: 0o644 });
  return {
    [Symbol.dispose]: () => {
      if (readPid(path) === process.pid) rmSync(path, { force: true });
    },
  };
}

function readPid(path: string): number | undefined {
  try {
    const text = readFileSync(path, "utf8").trim();
    return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

/** A zombie has ended. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
