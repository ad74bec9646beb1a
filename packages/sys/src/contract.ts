/**
 * Typed system calls that the runtime does not have. One interface, `Sys`: the addon in `native/addon` implements it, and so does a recording
 * fake for unit tests. No decisions here: every method is one syscall or one fixed short sequence.
 *
 * Terms
 * - A descriptor is a plain number at this level. The code that opens a descriptor must close it.
 * - Paths are strings of bytes: a `Uint8Array` is allowed wherever a path may come from an archive.
 * - Every call is synchronous and short. No call may block because of another process (the runtime's thread pool is as
 *   small as the core count); `createNetworkNamespace` starts a thread of its own.
 *
 * Errors: a failing call throws `SysError` with `errno` (number), `errnoName` ("ENOENT"), `syscall` and the path or value in its message. It
 * throws nothing else.
 */

export type Path = string | Uint8Array;

/** Directory descriptor with the meaning "relative to the working directory". */
export const AT_FDCWD = -100;

export interface Stat {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Type and permission bits, as st_mode. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** Device numbers of a device node. */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Bytes. */
  readonly size: bigint;
  readonly blocks: bigint;
  readonly mtimeNs: bigint;
  readonly atimeNs: bigint;
  readonly ctimeNs: bigint;
  /** Unique id of the mount (statx STATX_MNT_ID); 0n when the kernel has none. */
  readonly mountId: bigint;
}

export interface DirectoryEntry {
  readonly name: Uint8Array;
  readonly ino: bigint;
  /** DT_* of the entry. */
  readonly type: number;
}

/** The parts of an overlay. Paths are host paths. */
export interface OverlayMount {
  /** Lower directories, the uppermost first. At most 500 (the kernel's own limit). */
  readonly lower: readonly string[];
  /** Absent for a read-only view. */
  readonly upper?: string;
  readonly work?: string;
  /** More options, as `[key, value]` or `[key]` for a flag: `["userxattr"]`, `["volatile"]`, `["metacopy","off"]`. */
  readonly options?: readonly (readonly [string] | readonly [string, string])[];
}

export interface SpawnRequest {
  /** Descriptor of the executable; a sealed memfd works. */
  readonly executableFd: number;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** `fds[i]` becomes descriptor i of the child; -1 gives /dev/null. All others are closed. */
  readonly fds: readonly number[];
  /** New session (setsid). */
  readonly newSession?: boolean;
  /** Directory of the v2 cgroup in which the child starts (CLONE_INTO_CGROUP). Some machines cannot do this: then the caller tries again without it. */
  readonly cgroupFd?: number;
}

export interface ReceivedMessage {
  readonly data: Uint8Array;
  readonly fds: readonly number[];
}

export interface Sys {
  // Descriptors and files
  open(path: Path, flags: number, mode?: number): number;
  openat2(dirFd: number, path: Path, how: { flags: number; mode?: number; resolve?: number }): number;
  close(fd: number): void;
  dup(fd: number): number;
  /** Bytes read; 0 at the end; -1 when the call would block. */
  read(fd: number, buffer: Uint8Array): number;
  /** Bytes written; -1 when the call would block. */
  write(fd: number, data: Uint8Array): number;
  pread(fd: number, buffer: Uint8Array, offset: bigint): number;
  pwrite(fd: number, data: Uint8Array, offset: bigint): number;
  /**
   * The next part of a file, from `offset` on, that is no hole; undefined when there is none. The whole rest when the file system does not know
   * holes. Moves the descriptor's position.
   */
  nextData(fd: number, offset: bigint): { readonly start: bigint; readonly end: bigint } | undefined;
  ftruncate(fd: number, size: bigint): void;
  fstat(fd: number): Stat;
  /** `flags`: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH. */
  fstatat(dirFd: number, path: Path, flags: number): Stat;
  /** Its entries, some hundred at a time: for directories whose size another program decides. */
  readDirectoryParts(fd: number): Generator<DirectoryEntry[]>;
  /** The whole list; with `limit` about this many of its first entries. */
  readDirectory(fd: number, limit?: number): DirectoryEntry[];
  mkdirat(dirFd: number, path: Path, mode: number): void;
  mknodat(dirFd: number, path: Path, mode: number, major: number, minor: number): void;
  symlinkat(target: Path, dirFd: number, path: Path): void;
  linkat(oldDirFd: number, oldPath: Path, newDirFd: number, newPath: Path, flags: number): void;
  /** `flags`: AT_REMOVEDIR. */
  unlinkat(dirFd: number, path: Path, flags: number): void;
  renameat2(oldDirFd: number, oldPath: Path, newDirFd: number, newPath: Path, flags: number): void;
  readlinkat(dirFd: number, path: Path): Uint8Array;
  fchmod(fd: number, mode: number): void;
  /** For an entry that is not a symlink; follows none. */
  fchmodat(dirFd: number, path: Path, mode: number): void;
  /** Never follows a symlink. */
  fchownat(dirFd: number, path: Path, uid: number, gid: number): void;
  /** Never follows a symlink. Nanoseconds since the epoch. */
  utimensat(dirFd: number, path: Path, atimeNs: bigint, mtimeNs: bigint): void;
  /** xattrs of the entry itself, symlinks included (through /proc/self/fd). */
  setxattrat(dirFd: number, path: Path, name: string, value: Uint8Array): void;
  getxattrat(dirFd: number, path: Path, name: string): Uint8Array | undefined;
  listxattrat(dirFd: number, path: Path): string[];
  removexattrat(dirFd: number, path: Path, name: string): void;
  statfs(path: Path): { type: bigint; blockSize: bigint; blocks: bigint; freeBlocks: bigint; availableBlocks: bigint };
  /** Takes an exclusive or shared flock without waiting; false when another process holds it. */
  tryFlock(fd: number, exclusive: boolean): boolean;
  memfdCreate(name: string, data: Uint8Array, seal: boolean): number;
  umask(mask: number): number;

  // Pipes and sockets
  pipe(flags: number): [number, number];
  /** `type`: SOCK_STREAM or SOCK_SEQPACKET; both ends CLOEXEC. */
  socketpair(type: number, nonBlocking: boolean): [number, number];
  setNonBlocking(fd: number, on: boolean): void;
  /**
   * Connects to the unix socket `name` inside directory `dirFd`, so there is no limit for the path length. A non-blocking stream socket; EAGAIN
   * when the listener accepts nothing and its queue is full.
   */
  connectUnix(dirFd: number, name: string): number;
  /** Binds and listens on the unix socket `name` inside `dirFd` with exactly `mode`. */
  listenUnix(dirFd: number, name: string, mode: number, backlog: number): number;
  /**
   * Bytes sent (on a stream perhaps fewer than given); -1 when the call would block. Never waits. Copies of the descriptors are sent with the
   * first byte.
   */
  sendMessage(socket: number, data: Uint8Array, fds: readonly number[]): number;
  /** One datagram to a unix socket; a path that begins with "@" is an abstract name. Never waits. */
  sendDatagram(path: string, data: Uint8Array): void;
  /** undefined when it would block; empty `data` and no fds at the end of the stream. */
  receiveMessage(socket: number, maxBytes: number): ReceivedMessage | undefined;
  peerCredentials(socket: number): { pid: number; uid: number; gid: number };
  /**
   * 0 when nothing that was sent waits any more: at a unix socket when the peer has read all, at a TCP socket when its kernel has received all.
   * Other numbers say nothing exact: a unix socket also counts the kernel's own memory for the bytes.
   */
  unsentBytes(socket: number): number;
  /**
   * Reserves a port of the host: a CLOEXEC socket with a filter that drops every packet (SO_ATTACH_FILTER, before bind), bound, and for tcp and
   * sctp listening. tcp sets SO_REUSEADDR (TIME_WAIT is no conflict); IPv6 sockets are v6-only. It never accepts a connection. `address` is a
   * numeric IPv4 or IPv6 address.
   */
  reservePort(protocol: "tcp" | "udp" | "sctp", address: string, port: number): number;
  /** The same, but for a process that will answer: without a filter, and with a queue for connections that come before the process. */
  listenPort(protocol: "tcp" | "udp", address: string, port: number): number;

  // Mounts. Detached mounts are plain descriptors: closing the last one unmounts, so a crash leaves nothing.
  /** Makes the overlay and returns its detached mount (fsopen, fsconfig, fsmount). 125 layers and more work. */
  openOverlay(mount: OverlayMount): number;
  moveMount(fromFd: number, toDirFd: number, toPath: Path): void;
  mount(source: string, target: string, type: string, flags: number, data: string): void;
  umount(target: string, flags: number): void;

  // Processes
  /** posix_spawn by descriptor, with default signal dispositions and an empty signal mask. Returns the pid. */
  spawn(request: SpawnRequest): number;
  pidfdOpen(pid: number): number;
  pidfdSendSignal(pidfd: number, signal: number): void;
  kill(pid: number, signal: number): void;
  /** Reaps only this child. undefined while it runs; `{code}` or `{signal}` once. */
  waitpid(pid: number): { code: number; signal: number } | undefined;
  /**
   * While it is on, a descendant whose parent ends becomes a child of this process (PR_SET_CHILD_SUBREAPER of prctl(2)), which must reap it.
   * Only for programs that wait for all of their children.
   */
  setSubreaper(on: boolean): void;
  /**
   * Whether all of these processes run. Each is identified by its number and its start time (/proc/PID/stat, field 22). False when one has
   * ended, is ending, or cannot be examined. It is one call for all of them, because an idle daemon makes it again and again.
   */
  allRun(processes: readonly { readonly pid: number; readonly startTime: string }[]): boolean;
  /**
   * Unmaps the pages of this program's text and constants (program-segments.ts). They stay in the page cache, and each is mapped again when it
   * is used. With `afterMs` > 0 a short-lived thread does this later: when the caller's thread sleeps, it does not map pages again.
   */
  releaseFilePages(afterMs: number): void;

  // Namespaces and networking
  /** A new network namespace as a descriptor; it exists as long as descriptors or mounts of it. lo is down in it. */
  createNetworkNamespace(): number;
  /** Runs `action` with this thread inside the network namespace, synchronously, and always returns to the own namespace. */
  withNetworkNamespace<T>(namespaceFd: number, action: () => T): T;
  /**
   * A netlink socket (NETLINK_ROUTE, NETLINK_NETFILTER …) opened inside the namespace, or here when absent. NETLINK_EXT_ACK and NETLINK_CAP_ACK
   * are set, so that an error answer has the kernel's own words and not the whole request.
   */
  openNetlink(protocol: number, namespaceFd?: number): number;
  /**
   * A netlink socket that does not block, and receives only messages of these two types from the multicast groups (a mask). For a reader that
   * waits (`Bun.file(fd).stream()`): no other message wakes it.
   */
  openNetlinkMonitor(protocol: number, groups: number, types: readonly [number, number]): number;
  /**
   * Sends one buffer of one or more netlink messages, and receives until every message with NLM_F_ACK or NLM_F_DUMP is answered. Returns all
   * answers in order, whole messages with headers. Error answers are among them: the caller reads them.
   * `expectedAnswers` is the number of final answers to wait for: each NLMSG_ERROR (also acks) and each NLMSG_DONE counts as one. When the
   * kernel rejects an nf_tables batch as a whole, it answers with one error to the first message: that also ends the wait.
   */
  netlinkTransact(socket: number, request: Uint8Array, expectedAnswers: number): Uint8Array[];

  // Watching
  inotifyInit(): number;
  inotifyAddWatch(fd: number, path: Path, mask: number): number;
  inotifyRemoveWatch(fd: number, watch: number): void;

  // cgroup v2 devices
  /** Loads a BPF_PROG_TYPE_CGROUP_DEVICE program. Instructions are 8 bytes each. */
  bpfLoadDeviceProgram(instructions: Uint8Array): number;
  bpfAttachDevice(cgroupFd: number, programFd: number, replaceFd?: number): void;
}
