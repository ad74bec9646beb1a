/**
 * Loads the addon. In development it is in build/; the compiled executable contains it.
 *
 * A library can only be loaded from a file. In the temp folder, another user could replace it between the write and the load. So the embedded
 * copy goes into an anonymous memory file that has no name in any directory. The addon itself is not loaded yet, so bun:ffi calls the C
 * library's function that makes such a file.
 */
import addonPath from "../../../build/fathom_sys.so" with { type: "file" };
import { dlopen as openLibrary, FFIType } from "bun:ffi";
import { closeSync, readFileSync, writeSync } from "node:fs";

type Path = string | Uint8Array;
type Bytes = Uint8Array | Int32Array | BigInt64Array | Float64Array;

/** The addon's functions. Each returns the result of its syscall, or minus errno. Sources: native/addon. */
export interface NativeAddon {
  open(path: Path, flags: number, mode: number): number;
  openat2(dirFd: number, path: Path, flags: number, mode: number, resolve: number): number;
  close(fd: number): number;
  dup(fd: number): number;
  read(fd: number, buffer: Uint8Array): number;
  write(fd: number, data: Uint8Array): number;
  pread(fd: number, buffer: Uint8Array, offset: bigint): number;
  pwrite(fd: number, data: Uint8Array, offset: bigint): number;
  lseek(fd: number, offset: bigint, whence: number): number;
  ftruncate(fd: number, size: bigint): number;
  fchmod(fd: number, mode: number): number;
  flock(fd: number, operation: number): number;
  setNonBlocking(fd: number, on: number): number;
  pipe(flags: number, out: Bytes): number;
  getdents(fd: number, buffer: Uint8Array, rewind: number): number;
  statfs(path: Path, out: Bytes): number;
  memfdCreate(name: string, data: Uint8Array, seal: number): number;
  umask(mask: number): number;
  mkdirat(dirFd: number, path: Path, mode: number): number;
  mknodat(dirFd: number, path: Path, mode: number, major: number, minor: number): number;
  symlinkat(target: Path, dirFd: number, path: Path): number;
  linkat(oldDirFd: number, oldPath: Path, newDirFd: number, newPath: Path, flags: number): number;
  renameat2(oldDirFd: number, oldPath: Path, newDirFd: number, newPath: Path, flags: number): number;
  unlinkat(dirFd: number, path: Path, flags: number): number;
  readlinkat(dirFd: number, path: Path, buffer: Uint8Array): number;
  fchmodat(dirFd: number, path: Path, mode: number): number;
  fchownat(dirFd: number, path: Path, uid: number, gid: number): number;
  utimensat(dirFd: number, path: Path, atimeNs: bigint, mtimeNs: bigint): number;
  fstatat(dirFd: number, path: Path, flags: number, out: Bytes): number;
  setxattrat(dirFd: number, path: Path, name: string, value: Uint8Array): number;
  getxattrat(dirFd: number, path: Path, name: string, buffer: Uint8Array): number;
  listxattrat(dirFd: number, path: Path, buffer: Uint8Array): number;
  removexattrat(dirFd: number, path: Path, name: string): number;
  socketpair(type: number, nonBlocking: number, out: Bytes): number;
  connectUnix(dirFd: number, name: string): number;
  listenUnix(dirFd: number, name: string, mode: number, backlog: number): number;
  sendMessage(socket: number, data: Uint8Array, fds: Bytes): number;
  sendDatagram(path: string, data: Uint8Array): number;
  receiveMessage(socket: number, buffer: Uint8Array, fds: Bytes): number;
  peerCredentials(socket: number, out: Bytes): number;
  unsentBytes(socket: number): number;
  fsopen(type: string): number;
  fsconfig(fd: number, command: number, key: string | null, value: string | null, aux: number): number;
  fsmount(fd: number, attributes: number): number;
  moveMount(fromFd: number, toDirFd: number, toPath: Path, flags: number): number;
  openOverlayByMount(base: string, options: string): number;
  mount(source: string, target: string, type: string, flags: number, data: string): number;
  umount(target: string, flags: number): number;
  pidfdOpen(pid: number): number;
  pidfdSendSignal(pidfd: number, signal: number): number;
  kill(pid: number, signal: number): number;
  waitpid(pid: number): number;
  setSubreaper(on: number): number;
  countRunning(processes: Float64Array): number;
  spawn(
    executableFd: number,
    argv: Uint8Array,
    env: Uint8Array,
    fds: Bytes,
    newSession: number,
    cgroupFd: number,
  ): number;
  releasePages(ranges: BigUint64Array, afterMs: number): number;
  createNetworkNamespace(): number;
  enterNetworkNamespace(fd: number): number;
  leaveNetworkNamespace(home: number): number;
  openNetlink(protocol: number, namespaceFd: number): number;
  openNetlinkMonitor(protocol: number, groups: number, firstType: number, secondType: number): number;
  netlinkSend(socket: number, data: Uint8Array): number;
  netlinkReceive(socket: number, buffer: Uint8Array, wait: number): number;
  reservePort(protocol: number, address: string, port: number): number;
  listenPort(protocol: number, address: string, port: number): number;
  inotifyInit(): number;
  inotifyAddWatch(fd: number, path: Path, mask: number): number;
  inotifyRemoveWatch(fd: number, watch: number): number;
  bpfLoadDeviceProgram(instructions: Uint8Array): number;
  bpfAttachDevice(cgroupFd: number, programFd: number, replaceFd: number): number;
}

const MFD_CLOEXEC = 1;

/** Where files in the executable appear. They can be read, but neither mapped nor executed. */
export const embeddedPrefix = "/$bunfs/";

/** The library in a memory file. The caller closes the descriptor when it is loaded. */
function copyToMemory(path: string): number {
  const libc = openLibrary("libc.so.6", {
    memfd_create: { args: [FFIType.cstring, FFIType.u32], returns: FFIType.i32 },
  });
  const fd = libc.symbols.memfd_create(Buffer.from("fathom_sys\0"), MFD_CLOEXEC);
  libc.close();
  if (fd < 0) throw new Error("cannot load the embedded addon: memfd_create failed");
  const library = readFileSync(path);
  for (let written = 0; written < library.length;) written += writeSync(fd, library, written);
  return fd;
}

/** The words for a C library that is older than the build's: "…: version `GLIBC_2.34' not found (required by …)". */
export function libraryTooOld(error: unknown): Error | undefined {
  const version = /`GLIBC_([\d.]+)' not found/.exec(error instanceof Error ? error.message : "")?.[1];
  if (version === undefined) return undefined;
  const text = `this program needs glibc ${version} or newer, and this machine's is older: build it on this machine, or use a newer distribution`;
  return new Error(text, { cause: error });
}

let loaded: NativeAddon | undefined;

/** The addon of this thread, loaded once. Works in a Worker too: the library keeps no state. */
export function loadNative(): NativeAddon {
  if (loaded !== undefined) return loaded;
  const module: { exports: unknown } = { exports: {} };
  if (addonPath.startsWith(embeddedPrefix)) {
    const fd = copyToMemory(addonPath);
    try {
      process.dlopen(module, `/proc/self/fd/${fd}`);
    } catch (error) {
      throw libraryTooOld(error) ?? error;
    }
    closeSync(fd);
  } else {
    process.dlopen(module, addonPath);
  }
  // The addon is built from the same tree as this file: the conformance test compares both lists.
  loaded = module.exports as NativeAddon;
  return loaded;
}
