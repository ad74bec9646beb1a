/** The daemon's socket in the file system: a stale one is removed, one that answers is left alone, and only the group may use it. */
import { EngineError, messageOf, type Logger } from "@fathom/base";
import { isSysError, O_CLOEXEC, O_DIRECTORY, O_PATH, type Sys } from "@fathom/sys";
import { chmod, chown, lstat, mkdir, readFile, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { basename, dirname } from "node:path";

const mode = 0o660;

export type SocketSys = Pick<Sys, "open" | "close" | "connectUnix">;

/**
 * Makes `path` free for bind.
 * @param sys Distinguishes a socket without a listener from one whose daemon does not accept just now; the runtime's own sockets cannot.
 * @throws conflict when a process listens there, when that cannot be found out, or when it is no socket
 */
export async function claimSocketPath(path: string, sys?: SocketSys): Promise<void> {
  // sun_path holds 108 bytes with the final zero.
  if (Buffer.byteLength(path) > 107)
    throw new EngineError("invalid-argument", `the socket's path is too long (107 bytes at most): ${path}`);
  await mkdir(dirname(path), { recursive: true });
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (stat === undefined) return;
  if (!stat.isSocket())
    throw new EngineError("conflict", `cannot listen on ${path}: a file that is no socket is there`);
  if (sys === undefined ? await answers(path) : listens(sys, path))
    throw new EngineError("conflict", `cannot listen on ${path}: another daemon answers there`);
  await unlink(path);
}

function listens(sys: SocketSys, path: string): boolean {
  const directory = sys.open(dirname(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
  try {
    sys.close(sys.connectUnix(directory, basename(path)));
    return true;
  } catch (error) {
    if (isSysError(error, "ECONNREFUSED", "ENOENT")) return false;
    // Its queue is full: the daemon is stopped, or is very busy.
    if (isSysError(error, "EAGAIN")) return true;
    throw new EngineError(
      "conflict",
      `cannot listen on ${path}: whether another daemon listens there cannot be found out: ${messageOf(error)}`,
      { cause: error },
    );
  } finally {
    sys.close(directory);
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Gives the bound socket its group and mode. */
export async function finishSocketFile(
  path: string,
  group: string | number | undefined,
  logger: Logger,
): Promise<void> {
  const id = typeof group === "string" ? await groupId(group) : group;
  if (id !== undefined) await chown(path, process.getuid?.() ?? 0, id);
  else if (group !== undefined) logger.debug("the socket's group does not exist: only this user may use it", { group });
  await chmod(path, mode);
}

/** The id of a group in /etc/group, by its name or as a number. */
export async function groupId(group: string): Promise<number | undefined> {
  if (/^\d+$/.test(group)) return Number(group);
  const text = await readFile("/etc/group", "utf8").catch(() => "");
  for (const line of text.split("\n")) {
    const [name, , id] = line.split(":");
    if (name === group && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  return undefined;
}
