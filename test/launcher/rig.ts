/**
 * Shared by the launcher's root tests: a root file system of Debian's static busybox, plans that are as small as possible, and containers that
 * are removed at the end of a test.
 */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createLauncher,
  type AttachOptions,
  type Launched,
  type Launcher,
  type LaunchPlan,
  type LogSink,
  type NamespaceKind,
  type Operation,
  type SupervisedIo,
} from "@fathom/runtime";
import { createSys, helperExecutable } from "@fathom/sys";
import { busyboxPath } from "../make-busybox-image.ts";

export const sys = createSys();
export const launcher: Launcher = createLauncher({ sys, executable: () => helperExecutable(sys) });

export const allNamespaces: readonly NamespaceKind[] = ["mount", "pid", "network", "ipc", "uts"];
const path = "PATH=/bin:/usr/bin";

/** Where a root file system is, and where it is mounted. */
export type RootPlace = Pick<Rig, "rootfs" | "at">;

/** A directory with a root file system, removed by `[Symbol.dispose]`. */
export class Rig implements Disposable {
  readonly base = mkdtempSync(join(tmpdir(), "fathom-launcher-"));
  readonly rootfs = join(this.base, "rootfs");
  readonly at = join(this.base, "at");
  #count = 0;

  constructor() {
    for (const directory of ["bin", "dev", "proc", "sys", "tmp", "etc", "root"])
      mkdirSync(join(this.rootfs, directory), { recursive: true });
    mkdirSync(this.at);
    chmodSync(this.base, 0o755);
    chmodSync(join(this.rootfs, "tmp"), 0o1777);
    cpSync(busyboxPath(), join(this.rootfs, "bin/busybox"));
    for (const applet of [
      "sh",
      "cat",
      "echo",
      "true",
      "sleep",
      "id",
      "ls",
      "tty",
      "stty",
      "kill",
      "mount",
      "head",
      "tr",
    ])
      symlinkSync("busybox", join(this.rootfs, "bin", applet));
    for (const applet of ["printf", "readlink", "hostname", "seq", "touch", "wc", "dd", "ps", "pwd", "stat", "grep"])
      symlinkSync("busybox", join(this.rootfs, "bin", applet));
  }

  /** The directory of a new supervisor. */
  directory(): string {
    const directory = join(this.base, `run-${this.#count++}`);
    mkdirSync(directory, { mode: 0o700 });
    return directory;
  }

  [Symbol.dispose](): void {
    rmSync(this.base, { recursive: true, force: true });
  }
}

const noAttributes = { set: [] } as const;

/** The operations that make a root: bind of the rig's, proc, dev with devpts, pivot. `extra` comes before the pivot. */
export function rootOperations(rig: RootPlace, extra: readonly Operation[] = []): Operation[] {
  return [
    { kind: "root-propagation", propagation: "rslave" },
    { kind: "attach-root", source: { kind: "directory", path: rig.rootfs }, at: rig.at },
    {
      kind: "mount",
      type: "proc",
      source: "proc",
      options: [],
      attributes: { set: ["nosuid", "nodev", "noexec"] },
      target: "/proc",
    },
    {
      kind: "mount",
      type: "tmpfs",
      source: "tmpfs",
      options: [["mode", "755"]],
      attributes: { set: ["nosuid"] },
      target: "/dev",
    },
    { kind: "make-node", path: "/dev/null", type: "character", major: 1, minor: 3, mode: 0o666, uid: 0, gid: 0 },
    {
      kind: "mount",
      type: "devpts",
      source: "devpts",
      options: [["newinstance"], ["ptmxmode", "0666"], ["mode", "0620"]],
      attributes: noAttributes,
      target: "/dev/pts",
      create: "directory",
    },
    { kind: "make-symlink", path: "/dev/ptmx", target: "pts/ptmx" },
    { kind: "make-symlink", path: "/dev/stdout", target: "/proc/self/fd/1" },
    ...extra,
    { kind: "bind-console", path: "/dev/console" },
    { kind: "pivot-root" },
    { kind: "new-session" },
  ];
}

export function execOperation(
  argv: readonly string[],
  more: { init?: boolean; env?: readonly string[] } = {},
): Operation {
  const name = argv[0] ?? "";
  const candidates = name.includes("/") ? [name] : [`/bin/${name}`, `/usr/bin/${name}`];
  return { kind: "exec", candidates, argv: [...argv], env: [path, ...(more.env ?? [])], init: more.init === true };
}

export interface PlanChange {
  /** Before pivot-root. */
  readonly inRoot?: readonly Operation[];
  /** Before exec. */
  readonly process?: readonly Operation[];
  readonly terminal?: LaunchPlan["terminal"];
  readonly init?: boolean;
  readonly cgroupProcs?: readonly string[];
  readonly namespaces?: readonly NamespaceKind[];
}

export function plan(rig: RootPlace, argv: readonly string[], change: PlanChange = {}): LaunchPlan {
  return {
    version: 1,
    stem: { newNamespaces: change.namespaces ?? allNamespaces, cgroupProcs: change.cgroupProcs ?? [] },
    operations: [
      ...rootOperations(rig, change.inRoot),
      ...(change.process ?? []),
      execOperation(argv, { init: change.init === true }),
    ],
    terminal: change.terminal ?? null,
  };
}

export const bothOutputs: AttachOptions = { stdin: false, stdout: true, stderr: true, closeStdin: false };
export const withInput: AttachOptions = { stdin: true, stdout: true, stderr: true, closeStdin: true };

type FileLog = Extract<LogSink, { readonly kind: "json-file" }>;

/** The log of a run, in a file of its directory. */
export function fileLog(directory: string, change: Partial<Omit<FileLog, "kind">> = {}): FileLog {
  return { kind: "json-file", path: join(directory, "log"), maxSize: 0, maxFiles: 1, ...change };
}

/** Streams of a container without log and input. */
export function unlogged(attach: readonly AttachOptions[] = []): SupervisedIo {
  return { kind: "supervised", log: { kind: "none" }, openStdin: false, attach };
}

export interface RunOptions extends PlanChange {
  readonly directory?: string;
  /** Another log than the one that `fileLog` gives, or changes to it. */
  readonly log?: Exclude<LogSink, FileLog> | Partial<Omit<FileLog, "kind">>;
  readonly openStdin?: boolean;
  readonly attach?: readonly AttachOptions[];
}

/** Prepares and launches; the caller waits for the exit. */
export async function start(
  rig: Rig,
  argv: readonly string[],
  options: RunOptions = {},
): Promise<Launched & { directory: string }> {
  const directory = options.directory ?? rig.directory();
  const whole = plan(rig, argv, options);
  const prepared = await launcher.prepare(whole.stem);
  const launched = await prepared.launch({
    plan: whole,
    directory,
    io: {
      kind: "supervised",
      log: options.log !== undefined && "kind" in options.log ? options.log : fileLog(directory, options.log),
      openStdin: options.openStdin ?? false,
      attach: options.attach ?? [],
    },
  });
  return { ...launched, directory };
}

/** The program's output by stream, from Docker's frames. */
export function unframe(bytes: Buffer): { stdout: string; stderr: string; frames: number } {
  const parts = { 1: [] as Buffer[], 2: [] as Buffer[] };
  let at = 0;
  let frames = 0;
  while (at < bytes.length) {
    const stream = bytes[at];
    if ((stream !== 1 && stream !== 2) || bytes[at + 1] !== 0) throw new Error(`bad frame header at ${at}`);
    const length = bytes.readUInt32BE(at + 4);
    parts[stream].push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
    frames++;
  }
  if (at !== bytes.length) throw new Error("the last frame is cut");
  return { stdout: Buffer.concat(parts[1]).toString(), stderr: Buffer.concat(parts[2]).toString(), frames };
}

/** An attachment as a socket that collects what it receives. */
export class Reader {
  readonly socket: Socket;
  readonly ended: Promise<Buffer>;
  readonly #chunks: Buffer[] = [];

  constructor(fd: number) {
    this.socket = connect({ fd, allowHalfOpen: true } as unknown as { port: number });
    this.socket.on("data", (chunk: Buffer) => void this.#chunks.push(chunk));
    this.socket.on("error", () => undefined);
    this.ended = new Promise((resolve) => {
      const done = (): void => {
        this.socket.destroy();
        resolve(this.received);
      };
      this.socket.on("end", done);
      this.socket.on("close", done);
    });
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Waits until the output matches. */
  async until(pattern: RegExp, timeoutMs = 5000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!pattern.test(this.received.toString("latin1"))) {
      if (Date.now() > deadline)
        throw new Error(`no ${pattern} in ${JSON.stringify(this.received.toString("latin1"))}`);
      await Bun.sleep(5);
    }
  }
}

/** Runs to the end and returns the output. */
export async function run(
  rig: Rig,
  argv: readonly string[],
  options: RunOptions = {},
): Promise<{ code: number; signal: number; stdout: string; stderr: string; directory: string }> {
  const { supervisor, attachments, directory } = await start(rig, argv, { attach: [bothOutputs], ...options });
  const output = await new Reader(attachments[0]!.fd).ended;
  const { code, signal } = await supervisor.exit;
  const raw = options.terminal ? { stdout: output.toString(), stderr: "" } : unframe(output);
  return { code, signal, stdout: raw.stdout, stderr: raw.stderr, directory };
}

export interface LogRecord {
  readonly log: string;
  readonly stream: string;
  readonly time: string;
  readonly attrs?: Readonly<Record<string, string>>;
  /** Base64. */
  readonly bytes?: string;
  readonly latest?: string;
}

/**
 * The entries of a log of that form (native/init/supervisor/log-entry.c): stream, nanoseconds, line, and for a piece of a line its number and
 * whether it is the last.
 */
export function logEntries(file: string): readonly (readonly [string, bigint, string, number?, boolean?])[] {
  const data = readFileSync(file);
  const found: [string, bigint, string, number?, boolean?][] = [];
  for (let at = 0; at < data.length;) {
    const length = data.readUInt32BE(at);
    if (data.readUInt32BE(at + 4 + length) !== length) throw new Error(`no entry at ${at} of ${file}`);
    const fields = decodeFields(data.subarray(at + 4, at + 4 + length));
    const piece = fields.get(5);
    const [stream, time, line] = [fields.get(1), fields.get(2), fields.get(3) ?? Buffer.alloc(0)];
    if (!Buffer.isBuffer(stream) || typeof time !== "bigint" || !Buffer.isBuffer(line))
      throw new Error("a field is missing");
    const about = Buffer.isBuffer(piece) ? decodeFields(piece) : undefined;
    found.push(
      about === undefined
        ? [stream.toString(), time, line.toString()]
        : [stream.toString(), time, line.toString(), Number(about.get(3)), about.get(1) === 1n],
    );
    at += length + 8;
  }
  return found;
}

function decodeFields(message: Buffer): Map<number, bigint | Buffer> {
  const fields = new Map<number, bigint | Buffer>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = Number(varint());
    const value = varint();
    fields.set(key >> 3, (key & 7) === 0 ? value : message.subarray(at, (at += Number(value))));
  }
  return fields;
}

export function logRecords(file: string | number): LogRecord[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line): LogRecord => JSON.parse(line));
}
