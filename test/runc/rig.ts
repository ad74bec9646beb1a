/** For tests of `fathom-runc`: bundles of Debian's busybox, and calls of an OCI runtime with a state directory of their own. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binary, removeCgroup, type Result } from "../daemon/harness.ts";
import { Rig } from "../launcher/rig.ts";
import { runName } from "../run-name.ts";

/** Parts of a configuration that replace those of the default. */
export interface BundleChange {
  readonly args?: readonly string[];
  readonly process?: object;
  readonly linux?: object;
  readonly whole?: object;
  readonly mounts?: readonly object[];
}

const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
export const defaultMounts = [
  { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
  },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
];

export class RuncRig implements Disposable {
  readonly #rig = new Rig();
  readonly base: string;
  /** The state directory. */
  readonly root: string;
  readonly program: string;
  readonly parent = `/fathom-runc-${runName}`;
  readonly rootfs: string;
  #count = 0;

  constructor() {
    this.base = mkdtempSync(join(this.#rig.base, "runc-"));
    this.root = join(this.base, "root");
    this.rootfs = this.#rig.rootfs;
    this.program = join(this.base, "fathom-runc");
    symlinkSync(binary, this.program);
  }

  configuration(name: string, change: BundleChange = {}): Record<string, unknown> {
    return {
      ociVersion: "1.0.2",
      root: { path: this.rootfs },
      hostname: "box",
      mounts: change.mounts ?? defaultMounts,
      process: {
        user: { uid: 0, gid: 0 },
        args: change.args ?? ["true"],
        env: ["PATH=/bin:/usr/bin"],
        cwd: "/",
        capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
        rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
        noNewPrivileges: true,
        ...change.process,
      },
      linux: {
        namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })),
        cgroupsPath: `${this.parent}/${name}`,
        resources: { devices: [{ allow: false, access: "rwm" }] },
        maskedPaths: ["/proc/kcore", "/proc/keys", "/sys/firmware"],
        readonlyPaths: ["/proc/bus", "/proc/sys"],
        ...change.linux,
      },
      ...change.whole,
    };
  }

  /** Makes a bundle; its directory. The container's cgroup has the name of the directory. */
  bundle(change: BundleChange = {}): string {
    const name = `b${this.#count++}`;
    const directory = join(this.base, name);
    mkdirSync(directory);
    writeFileSync(join(directory, "config.json"), JSON.stringify(this.configuration(name, change)));
    return directory;
  }

  command(...args: string[]): string[] {
    return [this.program, "--root", this.root, ...args];
  }

  async call(...args: string[]): Promise<Result> {
    return finished(this.command(...args));
  }

  /** A call that must succeed; its output. */
  async ok(...args: string[]): Promise<string> {
    const { code, out, err } = await this.call(...args);
    if (code !== 0) throw new Error(`${args.join(" ")}: ended with ${code}: ${err}`);
    return out;
  }

  async status(id: string): Promise<string> {
    return JSON.parse(await this.ok("state", id)).status;
  }

  /** Cgroups of this rig in any hierarchy that are not the parent itself. */
  cgroups(): string[] {
    const found = readdirSync("/sys/fs/cgroup").flatMap((hierarchy) => {
      try {
        return readdirSync(join("/sys/fs/cgroup", hierarchy, this.parent), { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map(({ name }) => name);
      } catch {
        return [];
      }
    });
    return [...new Set(found)].sort();
  }

  /** What a container left: its directory, cgroups, and FIFOs or sockets. */
  left(): string[] {
    let states: string[] = [];
    try {
      states = readdirSync(this.root);
    } catch {
      // No container was made yet.
    }
    return [...states, ...this.cgroups()];
  }

  async clean(): Promise<void> {
    for (const id of this.left()) await this.call("delete", "--force", id);
  }

  [Symbol.dispose](): void {
    removeCgroup(this.parent);
    rmSync(this.base, { recursive: true, force: true });
    this.#rig[Symbol.dispose]();
  }
}

/** The output goes to files: a container that continues keeps the streams of its call. */
export async function finished(command: readonly string[], input?: string): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), "fathom-runc-output-"));
  const [out, err] = [join(directory, "out"), join(directory, "err")];
  try {
    const child = Bun.spawn([...command], {
      stdin: input === undefined ? "ignore" : Buffer.from(input),
      stdout: Bun.file(out),
      stderr: Bun.file(err),
    });
    const code = await child.exited;
    return { code, out: readFileSync(out, "utf8"), err: readFileSync(err, "utf8") };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
