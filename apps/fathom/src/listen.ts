/** The daemon's unix sockets: mode 0660, owned by the group that may use them. */
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import { createConnection, type Server } from "node:net";
import { dirname } from "node:path";
import { EngineError } from "@fathom/base";

/** As many connections as a burst of clients may open before they are accepted. */
const backlog = 4096;

/** Listens; a socket file that a dead daemon left is replaced, one that answers is a conflict. */
export async function listenUnix(server: Server, host: string, group: string): Promise<void> {
  const path = host.slice("unix://".length);
  const gid = groupId(group);
  makeDirectory(dirname(path), gid);
  await removeStale(path);
  // The file must never be open to all, not even for a moment.
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path, backlog }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } finally {
    process.umask(mask);
  }
  if (gid !== undefined) chownSync(path, 0, gid);
  chmodSync(path, 0o660);
}

/** A directory of our own may be passed through by the group; one that is there already is left as it is. */
function makeDirectory(directory: string, gid: number | undefined): void {
  const made = mkdirSync(directory, { recursive: true, mode: 0o710 });
  if (made !== undefined && gid !== undefined) chownSync(directory, 0, gid);
}

async function removeStale(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket())
    throw new EngineError("conflict", `${path} is there and is no socket: remove it, or give another -H`);
  const alive = await new Promise<boolean>((resolve) => {
    const probe = createConnection({ path });
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (alive) throw new EngineError("conflict", `another daemon answers on ${path}: stop it, or give another -H`);
  unlinkSync(path);
}

/** Number of a group by name or number; undefined where it does not exist: then only root may use the socket. */
export function groupId(group: string): number | undefined {
  if (/^\d+$/.test(group)) return Number(group);
  for (const line of readFileSync("/etc/group", "utf8").split("\n")) {
    const [name, , id] = line.split(":");
    if (name === group && id !== undefined) return Number(id);
  }
  return undefined;
}
