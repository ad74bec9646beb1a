/** The compiled program for tests: its daemon in a network namespace and folders of its own, and its CLI. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { makeBusyboxImage } from "../make-busybox-image.ts";

const binary = process.env["FATHOM_BINARY"] ?? resolve(import.meta.dir, "../../dist/fathom");

export interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function until(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (condition()) return;
    await Bun.sleep(50);
  }
  throw new Error(`waited in vain: ${what}`);
}

export class TestDaemon {
  readonly image = "localhost/busybox:test";
  readonly work: string;
  readonly #name: string;
  readonly #space: string;
  #daemon: Bun.Subprocess | undefined;

  /** @param name Part of the cgroup's and the namespace's name: one for each test file. */
  constructor(name: string) {
    this.#name = name;
    this.#space = `fathom-${name}-${process.pid}`;
    this.work = mkdtempSync(join(tmpdir(), `fathom-${name}-`));
    Bun.spawnSync(["ip", "netns", "add", this.#space]);
    this.run("ip", "link", "set", "lo", "up");
  }

  /** Runs a program in the daemon's network namespace; one that does not end in 30 s is killed (code -1). */
  run(...command: string[]): Result {
    const child = Bun.spawnSync(["nsenter", `--net=/run/netns/${this.#space}`, ...command], {
      stdin: "ignore",
      timeout: 30_000,
      env: { ...process.env, FATHOM_HOST: `unix://${this.work}/s`, HOME: this.work },
    });
    return { code: child.exitCode ?? -1, out: child.stdout.toString(), err: child.stderr.toString() };
  }

  cli(...args: string[]): Result {
    return this.run(binary, ...args);
  }

  /** A command of the CLI that must succeed; gives what it printed. */
  fathom(...args: string[]): string {
    const { code, out, err } = this.cli(...args);
    if (code !== 0) throw new Error(`fathom ${args.join(" ")}: ${code}: ${err}`);
    return out.trim();
  }

  async start(): Promise<void> {
    const { work } = this;
    const log = Bun.file(join(work, "log"));
    const flags = [
      "-H",
      `unix://${work}/s`,
      "--data-root",
      `${work}/data`,
      "--exec-root",
      `${work}/run`,
      "--pidfile",
      `${work}/pid`,
    ];
    this.#daemon = Bun.spawn(
      [
        "nsenter",
        `--net=/run/netns/${this.#space}`,
        binary,
        "daemon",
        ...flags,
        "--cgroup-parent",
        `/fathom-${this.#name}`,
      ],
      { stdin: "ignore", stdout: log, stderr: log },
    );
    await until("the daemon answers", () => existsSync(join(work, "s")) && this.cli("ps").code === 0);
  }

  /** Loads `image`, made from Debian's busybox-static. */
  loadImage(): void {
    makeBusyboxImage(join(this.work, "layout"), this.image);
    this.run("tar", "-C", join(this.work, "layout"), "-cf", join(this.work, "image.tar"), ".");
    const said = this.fathom("load", "-i", join(this.work, "image.tar"));
    if (said !== `Loaded image: ${this.image}`) throw new Error(`load said ${said}`);
  }

  async kill(): Promise<void> {
    process.kill(Number(readFileSync(join(this.work, "pid"), "utf8")), "SIGKILL");
    await this.#daemon?.exited;
    this.#daemon = undefined;
  }

  /** Removes every container, ends the daemon and takes its namespace and folders away. */
  async close(): Promise<void> {
    if (this.#daemon !== undefined) {
      for (const id of this.fathom("ps", "-aq").split("\n").filter(Boolean)) this.cli("rm", "-f", id);
      process.kill(Number(readFileSync(join(this.work, "pid"), "utf8")), "SIGTERM");
      await this.#daemon.exited;
    }
    Bun.spawnSync(["ip", "netns", "del", this.#space]);
    rmSync(this.work, { recursive: true, force: true });
  }
}
