/** Files under /proc/sys, read and written through Sys, so that they can belong to another namespace or to a test. */
import { O_CLOEXEC, O_RDONLY, O_WRONLY, type Sys } from "@fathom/sys";
import { isErrno } from "@fathom/base";

export type ProcSys = Pick<Sys, "open" | "read" | "write" | "close">;

/** The content; undefined when the file does not exist (the kernel does not have the feature). */
export function readProc(sys: ProcSys, path: string): string | undefined {
  let fd: number;
  try {
    fd = sys.open(path, O_RDONLY | O_CLOEXEC);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  try {
    const buffer = new Uint8Array(4096);
    return new TextDecoder().decode(buffer.subarray(0, Math.max(0, sys.read(fd, buffer))));
  } finally {
    sys.close(fd);
  }
}

/** False when the file does not exist. */
export function writeProc(sys: ProcSys, path: string, value: string): boolean {
  let fd: number;
  try {
    fd = sys.open(path, O_WRONLY | O_CLOEXEC);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
  try {
    sys.write(fd, new TextEncoder().encode(value));
    return true;
  } finally {
    sys.close(fd);
  }
}
