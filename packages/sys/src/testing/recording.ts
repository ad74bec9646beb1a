/**
 * A fake of Sys for unit tests. It records every call in order, returns planned results, and can fail the Nth call. So a test can check what a
 * sequence leaves behind when any of its steps fails.
 */
import type { Sys } from "../contract.ts";
import { errnoNumber, SysError } from "../errors.ts";

export type SysMethod = keyof Sys;

export interface RecordedCall {
  readonly method: SysMethod;
  readonly args: readonly unknown[];
}

/** Results by method; a method without one returns a default of its kind (a new descriptor, nothing, an empty list). */
export type SysScript = { readonly [M in SysMethod]?: Sys[M] };

/** A failure: the `nth` call (from 1) of all calls, or only of `method`, throws SysError with `errno`. */
export interface PlannedFailure {
  readonly nth: number;
  readonly errno: string;
  readonly method?: SysMethod;
}

export interface RecordingSys extends Sys {
  /** All calls up to now, in order, also the failed ones. */
  readonly calls: readonly RecordedCall[];
  /** Descriptors that were given out and not closed yet, in order: a test for leaks compares this with []. */
  readonly openFds: readonly number[];
  failOn(failure: PlannedFailure): void;
  /** Calls as lines: `openat2(3, "etc", {"flags":0})`. */
  transcript(): string[];
}

/** Numbers that no test confuses with a real descriptor. */
const FIRST_FD = 1000;

const opening: ReadonlySet<SysMethod> = new Set([
  "open",
  "openat2",
  "dup",
  "memfdCreate",
  "connectUnix",
  "listenUnix",
  "reservePort",
  "listenPort",
  "openOverlay",
  "pidfdOpen",
  "createNetworkNamespace",
  "openNetlink",
  "openNetlinkMonitor",
  "inotifyInit",
  "bpfLoadDeviceProgram",
]);

const openingPairs: ReadonlySet<SysMethod> = new Set(["pipe", "socketpair"]);

const zeroStat = {
  dev: 0n,
  ino: 0n,
  mode: 0,
  nlink: 1,
  uid: 0,
  gid: 0,
  rdevMajor: 0,
  rdevMinor: 0,
  size: 0n,
  blocks: 0n,
  mtimeNs: 0n,
  atimeNs: 0n,
  ctimeNs: 0n,
  mountId: 0n,
};

/** Results of methods that neither open a descriptor nor return nothing. */
const defaults: { readonly [M in SysMethod]?: Sys[M] } = {
  read: () => 0,
  write: (_fd, data) => data.length,
  pread: () => 0,
  pwrite: (_fd, data) => data.length,
  sendMessage: (_socket, data) => data.length,
  fstat: () => zeroStat,
  fstatat: () => zeroStat,
  readDirectory: () => [],
  readlinkat: () => new Uint8Array(),
  listxattrat: () => [],
  statfs: () => ({ type: 0n, blockSize: 4096n, blocks: 0n, freeBlocks: 0n, availableBlocks: 0n }),
  tryFlock: () => true,
  umask: () => 0o22,
  unsentBytes: () => 0,
  peerCredentials: () => ({ pid: 1, uid: 0, gid: 0 }),
  spawn: () => 4242,
  withNetworkNamespace: (_fd, action) => action(),
  netlinkTransact: () => [],
  allRun: () => false,
  releaseFilePages: () => undefined,
  inotifyAddWatch: () => 1,
};

/** Arguments as text: bytes as strings, bigints with n. */
function argumentText(value: unknown): string {
  if (value instanceof Uint8Array) return `b${JSON.stringify(Buffer.from(value).toString("latin1"))}`;
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "function";
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "bigint" ? `${inner}n` : inner instanceof Uint8Array ? argumentText(inner) : inner,
  );
}

/** @param script Behaviour by method; a function here is called after the call was recorded. A descriptor that it returns counts as open too. */
export function createRecordingSys(script: SysScript = {}): RecordingSys {
  const calls: RecordedCall[] = [];
  const openFds: number[] = [];
  const failures: PlannedFailure[] = [];
  const counts = new Map<SysMethod, number>();
  let nextFd = FIRST_FD;

  function takeFailure(method: SysMethod): PlannedFailure | undefined {
    const index = failures.findIndex((failure) =>
      failure.method === undefined
        ? failure.nth === calls.length
        : failure.method === method && failure.nth === counts.get(method),
    );
    return index < 0 ? undefined : failures.splice(index, 1)[0];
  }

  function call(method: SysMethod, args: readonly unknown[]): unknown {
    calls.push({ method, args });
    counts.set(method, (counts.get(method) ?? 0) + 1);
    const failure = takeFailure(method);
    if (failure !== undefined) throw new SysError(method, errnoNumber(failure.errno), "(planned by the test)");
    if (method === "close") {
      const index = openFds.indexOf(Number(args[0]));
      if (index >= 0) openFds.splice(index, 1);
      else if (Number(args[0]) >= FIRST_FD) throw new SysError("close", errnoNumber("EBADF"), String(args[0]));
    }
    const scripted: unknown = script[method] ?? defaults[method];
    if (typeof scripted === "function") {
      const result: unknown = Reflect.apply(scripted, undefined, args);
      if (opening.has(method) && typeof result === "number") openFds.push(result);
      return result;
    }
    if (openingPairs.has(method)) {
      const pair = [nextFd++, nextFd++];
      openFds.push(...pair);
      return pair;
    }
    if (!opening.has(method)) return undefined;
    openFds.push(nextFd);
    return nextFd++;
  }

  const own = {
    calls,
    openFds,
    failOn: (failure: PlannedFailure) => void failures.push(failure),
    transcript: () => calls.map(({ method, args }) => `${method}(${args.map(argumentText).join(", ")})`),
  };
  // Every other property is a method of Sys, also those that are added to the contract later.
  return new Proxy(own, {
    get(target, property) {
      if (property in target) return Reflect.get(target, property);
      if (typeof property !== "string" || property === "then") return undefined;
      return (...args: unknown[]) => call(property as SysMethod, args);
    },
  }) as typeof own & Sys;
}
