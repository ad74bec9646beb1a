/** HOME of a process whose environment has none: as the container's /etc/passwd names it for its user, else "/". */
import {
  O_CLOEXEC,
  O_DIRECTORY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  type Sys,
} from "@fathom/sys";
import type { OciProcess } from "@fathom/spec";

type HomeSys = Pick<Sys, "open" | "openat2" | "close" | "read" | "fstat">;

/** The file belongs to the image: no more than this is read. */
const mostBytes = 1 << 20;
const regularFile = 0o100000;
const fileTypeMask = 0o170000;

/** `root`: a directory of the host, the root of the container. */
export function withHome(sys: HomeSys, root: string, process: OciProcess): OciProcess {
  const env = process.env ?? [];
  if (env.some((entry) => entry.startsWith("HOME="))) return process;
  return { ...process, env: [...env, `HOME=${homeOf(readPasswords(sys, root), process.user.uid)}`] };
}

export function homeOf(passwords: string, uid: number): string {
  for (const line of passwords.split("\n")) {
    const [, , number, , , home = ""] = line.split(":");
    if (number === String(uid) && home.startsWith("/")) return home;
  }
  return "/";
}

function readPasswords(sys: HomeSys, root: string): string {
  const buffer = Buffer.alloc(mostBytes);
  const fds: number[] = [];
  try {
    const directory = sys.open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fds.push(directory);
    const file = sys.openat2(directory, "etc/passwd", {
      flags: O_RDONLY | O_NONBLOCK | O_CLOEXEC,
      resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    });
    fds.push(file);
    if ((sys.fstat(file).mode & fileTypeMask) !== regularFile) return "";
    return buffer.toString("utf8", 0, Math.max(0, sys.read(file, buffer)));
  } catch {
    // The container has no such file.
    return "";
  } finally {
    for (const fd of fds) sys.close(fd);
  }
}
