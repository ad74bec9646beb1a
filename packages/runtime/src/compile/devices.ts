/** The container's /dev: the nodes and links that every container has, and those of its configuration. */
import { EngineError } from "@fathom/base";
import type { LinuxDevice } from "@fathom/spec";
import type { Operation } from "../plan/plan.ts";

interface Node {
  readonly path: string;
  readonly type: "character" | "block" | "fifo";
  readonly major: number;
  readonly minor: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

const defaultNodes: readonly Node[] = (
  [
    ["null", 1, 3],
    ["zero", 1, 5],
    ["full", 1, 7],
    ["random", 1, 8],
    ["urandom", 1, 9],
    ["tty", 5, 0],
  ] as const
).map(([name, major, minor]) => ({
  path: `/dev/${name}`,
  type: "character",
  major,
  minor,
  mode: 0o666,
  uid: 0,
  gid: 0,
}));

function nodeOf(device: LinuxDevice): Node {
  const type = device.type === "b" ? "block" : device.type === "p" ? "fifo" : "character";
  const { major = 0, minor = 0 } = device;
  if (major < 0 || major > 0xfff || minor < 0 || minor > 0xf_ffff)
    throw new EngineError(
      "invalid-argument",
      `linux.devices: ${device.path}: device number ${major}:${minor} is out of range`,
    );
  return {
    path: device.path,
    type,
    major,
    minor,
    mode: (device.fileMode ?? 0o666) & 0o7777,
    uid: device.uid ?? 0,
    gid: device.gid ?? 0,
  };
}

/**
 * Operations that fill /dev. In a user namespace no node can be made, so the host's nodes are bound instead.
 * @param kcore Whether the host has /proc/kcore; only then /dev/core points to it.
 */
export function deviceOperations(
  devices: readonly LinuxDevice[],
  options: { readonly userNamespace: boolean; readonly kcore: boolean },
): Operation[] {
  const nodes = new Map<string, Node>();
  for (const node of defaultNodes) nodes.set(node.path, node);
  for (const device of devices) {
    // /dev/ptmx and /dev/console belong to the terminal: a node of the host's would reach the host's terminals.
    if (device.path !== "/dev/ptmx" && device.path !== "/dev/console") nodes.set(device.path, nodeOf(device));
  }
  const operations: Operation[] = [...nodes.values()].map((node) =>
    options.userNamespace
      ? {
          kind: "bind",
          source: node.path,
          recursive: false,
          attributes: { set: [] },
          target: node.path,
          create: true,
        }
      : { kind: "make-node", ...node },
  );
  operations.push({ kind: "make-symlink", path: "/dev/ptmx", target: "pts/ptmx", replace: true });
  const links = [
    ["/dev/fd", "/proc/self/fd"],
    ["/dev/stdin", "/proc/self/fd/0"],
    ["/dev/stdout", "/proc/self/fd/1"],
    ["/dev/stderr", "/proc/self/fd/2"],
  ] as const;
  for (const [path, target] of links) operations.push({ kind: "make-symlink", path, target });
  if (options.kcore) operations.push({ kind: "make-symlink", path: "/dev/core", target: "/proc/kcore" });
  return operations;
}
