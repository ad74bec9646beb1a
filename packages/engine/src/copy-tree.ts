/**
 * Copies a directory's content through descriptors: nothing of the source can lead outside of it, and nothing of a path is
 * resolved twice. For a volume's first use (image content into the volume).
 *
 * Kept: type, owner, mode, times, xattrs, hard links within the tree. Sockets are left out, as they mean nothing elsewhere.
 */
import {
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  type Stat,
  type Sys,
} from "@fathom/sys";

const depthLimit = 500;
const copyBytes = 1 << 18;

/** Copies the content of directory `from` into the empty directory `to`, and owner, mode and times of the directory itself. */
export function copyTree(sys: Sys, from: number, to: number): void {
  copyDirectory(sys, from, to, new Map(), to, "", 0);
}

function copyDirectory(
  sys: Sys,
  from: number,
  to: number,
  links: Map<string, string>,
  root: number,
  path: string,
  depth: number,
): void {
  if (depth > depthLimit) throw new Error(`directories are nested deeper than ${depthLimit}`);
  for (const { name } of sys.readDirectory(from)) {
    const text = Buffer.from(name).toString("latin1");
    if (text === "." || text === "..") continue;
    copyEntry(sys, from, to, name, links, root, `${path}${text}`, depth);
  }
  const own = sys.fstat(from);
  const attributes = { uid: own.uid, gid: own.gid, mode: own.mode & 0o7777 };
  copyXattrs(sys, from, ".", to, ".");
  sys.fchownat(to, ".", attributes.uid, attributes.gid);
  sys.fchmod(to, attributes.mode);
  sys.utimensat(to, ".", own.atimeNs, own.mtimeNs);
}

function copyEntry(
  sys: Sys,
  from: number,
  to: number,
  name: Uint8Array,
  links: Map<string, string>,
  root: number,
  path: string,
  depth: number,
): void {
  const stat = sys.fstatat(from, name, AT_SYMLINK_NOFOLLOW);
  const type = stat.mode & S_IFMT;
  if (type === S_IFSOCK) return;
  if (type === S_IFDIR) {
    sys.mkdirat(to, name, 0o700);
    const source = sys.openat2(from, name, { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC });
    try {
      const target = sys.openat2(to, name, { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC });
      try {
        copyDirectory(sys, source, target, links, root, `${path}/`, depth + 1);
      } finally {
        sys.close(target);
      }
    } finally {
      sys.close(source);
    }
    return;
  }
  if (stat.nlink > 1) {
    const key = `${stat.dev}:${stat.ino}`;
    const first = links.get(key);
    if (first !== undefined) {
      sys.linkat(root, Buffer.from(first, "latin1"), to, name, 0);
      return;
    }
    links.set(key, path);
  }
  if (type === S_IFREG) copyFile(sys, from, to, name, stat);
  else if (type === S_IFLNK) sys.symlinkat(sys.readlinkat(from, name), to, name);
  else sys.mknodat(to, name, stat.mode, stat.rdevMajor, stat.rdevMinor);
  copyXattrs(sys, from, name, to, name);
  sys.fchownat(to, name, stat.uid, stat.gid);
  if (type !== S_IFLNK) sys.fchmodat(to, name, stat.mode & 0o7777);
  sys.utimensat(to, name, stat.atimeNs, stat.mtimeNs);
}

function copyFile(sys: Sys, from: number, to: number, name: Uint8Array, stat: Stat): void {
  const source = sys.openat2(from, name, { flags: O_RDONLY | O_NOFOLLOW | O_CLOEXEC });
  try {
    const target = sys.openat2(to, name, { flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode: 0o600 });
    try {
      const buffer = new Uint8Array(Math.max(1, Number(stat.size < BigInt(copyBytes) ? stat.size : BigInt(copyBytes))));
      for (let count = sys.read(source, buffer); count > 0; count = sys.read(source, buffer)) {
        for (let done = 0; done < count;) done += sys.write(target, buffer.subarray(done, count));
      }
    } finally {
      sys.close(target);
    }
  } finally {
    sys.close(source);
  }
}

function copyXattrs(
  sys: Sys,
  from: number,
  fromName: string | Uint8Array,
  to: number,
  toName: string | Uint8Array,
): void {
  for (const name of sys.listxattrat(from, fromName)) {
    // overlayfs's own bookkeeping is no property of the file.
    if (name.startsWith("trusted.overlay.") || name.startsWith("user.overlay.")) continue;
    const value = sys.getxattrat(from, fromName, name);
    if (value !== undefined) sys.setxattrat(to, toName, name, value);
  }
}
