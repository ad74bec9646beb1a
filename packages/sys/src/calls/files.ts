/** Descriptors, and names in directories. */
import type { DirectoryEntry, Path, Stat, Sys } from "../contract.ts";
import { type CallContext, checked, fail } from "./context.ts";
import { AT_EMPTY_PATH, LOCK_EX, LOCK_SH } from "../constants.ts";
import { errnoNumber } from "../errors.ts";

const ENXIO = -errnoNumber("ENXIO");
const EAGAIN = -errnoNumber("EAGAIN");
const EINVAL = -errnoNumber("EINVAL");
const ENODATA = -errnoNumber("ENODATA");
const EOPNOTSUPP = -errnoNumber("EOPNOTSUPP");
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

type FileCalls = Pick<
  Sys,
  | "open"
  | "openat2"
  | "close"
  | "dup"
  | "read"
  | "write"
  | "pread"
  | "pwrite"
  | "nextData"
  | "ftruncate"
  | "fstat"
  | "fstatat"
  | "readDirectory"
  | "readDirectoryParts"
  | "mkdirat"
  | "mknodat"
  | "symlinkat"
  | "linkat"
  | "unlinkat"
  | "renameat2"
  | "readlinkat"
  | "fchmod"
  | "fchmodat"
  | "fchownat"
  | "utimensat"
  | "setxattrat"
  | "getxattrat"
  | "listxattrat"
  | "removexattrat"
  | "statfs"
  | "tryFlock"
  | "memfdCreate"
  | "umask"
>;

/** The 14 numbers of fstatat in native/addon/paths.c. */
function statOf(numbers: BigInt64Array): Stat {
  return {
    dev: BigInt.asUintN(64, numbers[0]!),
    ino: BigInt.asUintN(64, numbers[1]!),
    mode: Number(numbers[2]),
    nlink: Number(numbers[3]),
    uid: Number(numbers[4]),
    gid: Number(numbers[5]),
    rdevMajor: Number(numbers[6]),
    rdevMinor: Number(numbers[7]),
    size: numbers[8]!,
    blocks: numbers[9]!,
    mtimeNs: numbers[10]!,
    atimeNs: numbers[11]!,
    ctimeNs: numbers[12]!,
    mountId: BigInt.asUintN(64, numbers[13]!),
  };
}

/**
 * Decodes linux_dirent64 records (getdents64(2)): u64 inode, s64 offset, u16 record length, u8 type, name that ends with NUL. "." and ".." are
 * left out.
 */
function parseDirectoryRecords(records: Uint8Array, into: DirectoryEntry[]): void {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  for (let at = 0; at + 19 <= records.length;) {
    const length = view.getUint16(at + 16, true);
    if (length < 19 || at + length > records.length) break;
    const end = records.indexOf(0, at + 19);
    const name = records.slice(at + 19, end);
    const dots = name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
    if (!dots) into.push({ ino: view.getBigUint64(at, true), type: records[at + 18]!, name });
    at += length;
  }
}

export function fileCalls({ native, scratch, numbers }: CallContext): FileCalls {
  function stat(dirFd: number, path: Path, flags: number): Stat {
    const result = native.fstatat(dirFd, path, flags, numbers);
    if (result < 0) fail("statx", result, path === "" ? dirFd : path);
    return statOf(numbers);
  }

  return {
    open: (path, flags, mode = 0) => checked("open", native.open(path, flags, mode), path),
    openat2(dirFd, path, how) {
      const result = native.openat2(dirFd, path, how.flags, how.mode ?? 0, how.resolve ?? 0);
      if (result < 0) fail("openat2", result, path);
      return result;
    },
    close(fd) {
      const result = native.close(fd);
      if (result < 0) fail("close", result, fd);
    },
    dup: (fd) => checked("dup", native.dup(fd), fd),
    read(fd, buffer) {
      const result = native.read(fd, buffer);
      if (result >= 0) return result;
      return result === EAGAIN ? -1 : fail("read", result, fd);
    },
    write(fd, data) {
      const result = native.write(fd, data);
      if (result >= 0) return result;
      return result === EAGAIN ? -1 : fail("write", result, fd);
    },
    pread: (fd, buffer, offset) => checked("pread", native.pread(fd, buffer, offset), fd),
    pwrite: (fd, data, offset) => checked("pwrite", native.pwrite(fd, data, offset), fd),
    nextData(fd, offset) {
      const start = native.lseek(fd, offset, SEEK_DATA);
      if (start === ENXIO) return undefined;
      if (start === EINVAL) {
        const { size } = stat(fd, "", AT_EMPTY_PATH);
        return offset < size ? { start: offset, end: size } : undefined;
      }
      if (start < 0) fail("lseek", start, fd);
      const end = native.lseek(fd, BigInt(start), SEEK_HOLE);
      // The file was cut off in between.
      if (end === ENXIO) return undefined;
      if (end < 0) fail("lseek", end, fd);
      return { start: BigInt(start), end: BigInt(end) };
    },
    ftruncate: (fd, size) => void checked("ftruncate", native.ftruncate(fd, size), fd),
    fstat: (fd) => stat(fd, "", AT_EMPTY_PATH),
    fstatat: stat,
    *readDirectoryParts(fd) {
      for (let first = 1; ; first = 0) {
        const length = checked("getdents64", native.getdents(fd, scratch, first), fd);
        if (length === 0) return;
        const entries: DirectoryEntry[] = [];
        parseDirectoryRecords(scratch.subarray(0, length), entries);
        yield entries;
      }
    },
    readDirectory(fd, limit = Infinity) {
      const entries: DirectoryEntry[] = [];
      for (let first = 1; ; first = 0) {
        const length = checked("getdents64", native.getdents(fd, scratch, first), fd);
        if (length === 0) return entries;
        parseDirectoryRecords(scratch.subarray(0, length), entries);
        if (entries.length >= limit) return entries;
      }
    },
    mkdirat(dirFd, path, mode) {
      const result = native.mkdirat(dirFd, path, mode);
      if (result < 0) fail("mkdirat", result, path);
    },
    mknodat: (dirFd, path, mode, major, minor) =>
      void checked("mknodat", native.mknodat(dirFd, path, mode, major, minor), path),
    symlinkat(target, dirFd, path) {
      const result = native.symlinkat(target, dirFd, path);
      if (result < 0) fail("symlinkat", result, path);
    },
    linkat(oldDirFd, oldPath, newDirFd, newPath, flags) {
      const result = native.linkat(oldDirFd, oldPath, newDirFd, newPath, flags);
      if (result < 0) fail("linkat", result, newPath);
    },
    unlinkat: (dirFd, path, flags) => void checked("unlinkat", native.unlinkat(dirFd, path, flags), path),
    renameat2: (oldDirFd, oldPath, newDirFd, newPath, flags) =>
      void checked("renameat2", native.renameat2(oldDirFd, oldPath, newDirFd, newPath, flags), oldPath),
    readlinkat: (dirFd, path) => scratch.slice(0, checked("readlinkat", native.readlinkat(dirFd, path, scratch), path)),
    fchmod: (fd, mode) => void checked("fchmod", native.fchmod(fd, mode), fd),
    fchmodat(dirFd, path, mode) {
      const result = native.fchmodat(dirFd, path, mode);
      if (result < 0) fail("fchmodat", result, path);
    },
    fchownat(dirFd, path, uid, gid) {
      const result = native.fchownat(dirFd, path, uid, gid);
      if (result < 0) fail("fchownat", result, path);
    },
    utimensat(dirFd, path, atimeNs, mtimeNs) {
      const result = native.utimensat(dirFd, path, atimeNs, mtimeNs);
      if (result < 0) fail("utimensat", result, path);
    },
    setxattrat: (dirFd, path, name, value) =>
      void checked(`setxattr ${name}`, native.setxattrat(dirFd, path, name, value), path),
    getxattrat(dirFd, path, name) {
      const result = native.getxattrat(dirFd, path, name, scratch);
      if (result >= 0) return scratch.slice(0, result);
      // A file system without xattrs has none.
      return result === ENODATA || result === EOPNOTSUPP ? undefined : fail(`getxattr ${name}`, result, path);
    },
    listxattrat(dirFd, path) {
      const length = native.listxattrat(dirFd, path, scratch);
      if (length === EOPNOTSUPP) return [];
      checked("listxattr", length, path);
      return Buffer.from(scratch.subarray(0, length)).toString("utf8").split("\0").slice(0, -1);
    },
    removexattrat: (dirFd, path, name) =>
      void checked(`removexattr ${name}`, native.removexattrat(dirFd, path, name), path),
    statfs(path) {
      checked("statfs", native.statfs(path, numbers), path);
      return {
        type: numbers[0]!,
        blockSize: numbers[1]!,
        blocks: numbers[2]!,
        freeBlocks: numbers[3]!,
        availableBlocks: numbers[4]!,
      };
    },
    tryFlock(fd, exclusive) {
      const result = native.flock(fd, exclusive ? LOCK_EX : LOCK_SH);
      if (result === EAGAIN) return false;
      checked("flock", result, fd);
      return true;
    },
    memfdCreate: (name, data, seal) => checked("memfd_create", native.memfdCreate(name, data, seal ? 1 : 0), name),
    umask: (mask) => checked("umask", native.umask(mask)),
  };
}
