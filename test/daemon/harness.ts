/** The compiled program for tests: its daemon in a network namespace and folders of its own, and its CLI. */
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { makeBusyboxImage } from "../make-busybox-image.ts";
import { holdings } from "./holdings.ts";
import { runName } from "../run-name.ts";
import { until as untilTrue } from "@fathom/base/testing";

export const binary = process.env["FATHOM_BINARY"] ?? resolve(import.meta.dir, "../../dist/fathom");

export interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Removes a cgroup from every hierarchy. When processes are still in it, the leak check finds them. */
export function removeCgroup(path: string): void {
  for (const root of ["", ...readdirSync("/sys/fs/cgroup")]) {
    const directory = join("/sys/fs/cgroup", root, path);
    try {
      rmdirSync(directory);
    } catch {
      // It is not in this hierarchy, or it is not empty.
    }
  }
}

/** A test sees the daemon's work mostly through a program or a request, so the condition is not checked all the time. */
export function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  return untilTrue(what, condition, { everyMs: 50, limitMs: 30_000 });
}

/** A running program whose output is kept and whose input the test writes. */
export interface Conversation {
  readonly out: () => string;
  readonly err: () => string;
  write(text: string): void;
  /** Ends the input. */
  end(): void;
  /** With a terminal: sets its size, and the program is notified. */
  resize(rows: number, columns: number): void;
  kill(): void;
  readonly exited: Promise<number>;
}

export interface TestDaemonOptions {
  /** The name in the working directory. */
  readonly dataRoot?: string;
  /** Additional flags of `fathom daemon`. */
  readonly flags?: readonly string[];
  /** Additional environment variables of the daemon. */
  readonly environment?: Readonly<Record<string, string>>;
}

export class TestDaemon {
  readonly image = "localhost/busybox:test";
  readonly work: string;
  readonly cgroupParent: string;
  readonly dataRoot: string;
  readonly #options: TestDaemonOptions;
  readonly #space: string;
  #daemon: Bun.Subprocess | undefined;
  #registry: Bun.Subprocess | undefined;

  /** @param name Part of the cgroup's and the namespace's name. Each test file has a different one. */
  constructor(name: string, options: TestDaemonOptions = {}) {
    // Different for each run, as the namespace: another run must not take it for its own leftovers.
    this.cgroupParent = `/fathom-${name}-${runName}`;
    this.#options = options;
    this.#space = `fathom-${name}-${runName}`;
    this.work = mkdtempSync(join(tmpdir(), `fathom-${name}-`));
    this.dataRoot = join(this.work, options.dataRoot ?? "data");
    Bun.spawnSync(["ip", "netns", "add", this.#space]);
    this.run("ip", "link", "set", "lo", "up");
  }

  get socket(): string {
    return join(this.work, "s");
  }

  get pid(): number {
    return Number(readFileSync(join(this.work, "pid"), "utf8"));
  }

  /** The first process of a container. */
  pidOf(container: string): number {
    return Number(this.docker("inspect", "-f", "{{.State.Pid}}", container));
  }

  /** Removes all containers. @param flags More flags of `docker rm`, in addition to -f. */
  removeContainers(...flags: readonly string[]): void {
    for (const id of this.docker("ps", "-aq").split("\n").filter(Boolean)) this.docker("rm", "-f", ...flags, id);
  }

  #inside(command: readonly string[]): string[] {
    return ["nsenter", `--net=/run/netns/${this.#space}`, ...command];
  }

  get #environment(): Record<string, string | undefined> {
    const host = `unix://${this.socket}`;
    return { ...process.env, FATHOM_HOST: host, DOCKER_HOST: host, HOME: this.work };
  }

  /** Runs a program in the daemon's network namespace. A program that does not end in 30 s is killed (code -1). */
  run(...command: string[]): Result {
    const child = Bun.spawnSync(this.#inside(command), {
      stdin: "ignore",
      timeout: 30_000,
      // The docker CLI forwards other signals and keeps waiting.
      killSignal: "SIGKILL",
      env: this.#environment,
    });
    return { code: child.exitCode ?? -1, out: child.stdout.toString(), err: child.stderr.toString() };
  }

  /** Starts a program there and does not wait; its output is dropped. */
  begin(...command: string[]): Bun.Subprocess {
    return Bun.spawn(this.#inside(command), {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
      env: this.#environment,
    });
  }

  /** Starts an interactive program there. With `terminal` all three streams are a terminal of 24 rows and 80 columns. */
  talk(command: readonly string[], { terminal = false } = {}): Conversation {
    const parts = { out: "", err: "" };
    const keep = (to: "out" | "err", data: Uint8Array): void => void (parts[to] += Buffer.from(data).toString());
    if (terminal) {
      const child = Bun.spawn(this.#inside(command), {
        env: this.#environment,
        terminal: { rows: 24, cols: 80, data: (_, data) => keep("out", data) },
      });
      return {
        out: () => parts.out,
        err: () => parts.err,
        write: (text) => void child.terminal!.write(text),
        end: () => void child.terminal!.write("\x04"),
        resize: (rows, columns) => child.terminal!.resize(columns, rows),
        kill: () => child.kill("SIGKILL"),
        exited: child.exited.finally(() => child.terminal!.close()),
      };
    }
    const child = Bun.spawn(this.#inside(command), {
      env: this.#environment,
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    const read = async (to: "out" | "err", stream: AsyncIterable<Uint8Array>): Promise<void> => {
      for await (const data of stream) keep(to, data);
    };
    const streams = Promise.all([read("out", child.stdout), read("err", child.stderr)]);
    return {
      out: () => parts.out,
      err: () => parts.err,
      write: (text) => {
        void child.stdin.write(text);
        void child.stdin.flush();
      },
      end: () => void child.stdin.end(),
      resize: () => undefined,
      kill: () => child.kill("SIGKILL"),
      exited: streams.then(() => child.exited),
    };
  }

  /** A command of the docker CLI that must succeed; returns its output. */
  docker(...args: string[]): string {
    const { code, out, err } = this.run("docker", ...args);
    if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${code}: ${err}`);
    return out.trim();
  }

  cli(...args: string[]): Result {
    return this.run(binary, ...args);
  }

  /** A command of our CLI that must succeed; returns its output. */
  fathom(...args: string[]): string {
    const { code, out, err } = this.cli(...args);
    if (code !== 0) throw new Error(`fathom ${args.join(" ")}: ${code}: ${err}`);
    return out.trim();
  }

  /** A request to the API; returns the unchanged answer. For a stream of JSON lines, the last line. */
  async api<T = unknown>(
    method: string,
    path: string,
    body?: object,
    version = "1.47",
  ): Promise<{ readonly status: number; readonly json: T }> {
    const response = await fetch(`http://d/v${version}${path}`, {
      method,
      unix: `${this.work}/s`,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
    });
    const last = (await response.text()).trim().split("\n").at(-1) ?? "";
    return { status: response.status, json: (last === "" ? undefined : JSON.parse(last)) as T };
  }

  /** @param flags Additional flags, for this start only. */
  start(...flags: string[]): Promise<void> {
    return this.startProgram(binary, ...flags);
  }

  /** The daemon of another Fathom, with the same state. */
  async startProgram(program: string, ...flags: string[]): Promise<void> {
    const { work } = this;
    // Each daemon continues with the state of the previous one.
    const log = openSync(join(work, "log"), "a");
    this.#daemon = Bun.spawn(
      this.#inside([
        program,
        "daemon",
        "-H",
        `unix://${this.socket}`,
        "--data-root",
        this.dataRoot,
        "--exec-root",
        join(work, "run"),
        "--pidfile",
        join(work, "pid"),
        "--cgroup-parent",
        this.cgroupParent,
        ...(this.#options.flags ?? []),
        ...flags,
      ]),
      { stdin: "ignore", stdout: log, stderr: log, env: { ...process.env, ...this.#options.environment } },
    );
    closeSync(log);
    await until("the daemon answers", () =>
      this.request("GET", "/_ping").then(
        ({ ok }) => ok,
        () => false,
      ),
    );
  }

  /** Loads `image`, which is made of Debian's busybox-static. */
  loadImage(): void {
    makeBusyboxImage(join(this.work, "layout"), this.image);
    this.run("tar", "-C", join(this.work, "layout"), "-cf", join(this.work, "image.tar"), ".");
    const said = this.fathom("load", "-i", join(this.work, "image.tar"));
    if (said !== `Loaded image: ${this.image}`) throw new Error(`load said ${said}`);
  }

  /** Starts Debian's docker-registry beside the daemon; returns its host and port. @param account The only one that may use it */
  async startRegistry(account?: { readonly user: string; readonly password: string }): Promise<string> {
    const address = "127.0.0.1:5000";
    const config = {
      version: 0.1,
      log: { level: "error" },
      storage: { filesystem: { rootdirectory: join(this.work, "registry") } },
      http: { addr: address },
      ...(account === undefined ? {} : { auth: { htpasswd: { realm: "test", path: join(this.work, "users") } } }),
    };
    if (account !== undefined) {
      const hash = await Bun.password.hash(account.password, { algorithm: "bcrypt", cost: 4 });
      writeFileSync(join(this.work, "users"), `${account.user}:${hash}\n`);
    }
    // JSON is valid YAML.
    writeFileSync(join(this.work, "registry.yml"), JSON.stringify(config));
    this.#registry = this.begin("docker-registry", "serve", join(this.work, "registry.yml"));
    await until(
      "the registry answers",
      () => this.run("curl", "-s", "-o", "/dev/null", `http://${address}/v2/`).code === 0,
    );
    return address;
  }

  /** Sends a request to the API and ignores the content of the answer. When the signal aborts, the client hangs up. */
  request(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
    const file = body instanceof Blob;
    return fetch(`http://localhost${path}`, {
      method,
      unix: this.socket,
      ...(signal === undefined ? {} : { signal }),
      ...(body === undefined
        ? {}
        : {
            body: file ? body : JSON.stringify(body),
            headers: { "Content-Type": file ? "application/x-tar" : "application/json" },
          }),
    });
  }

  async kill(): Promise<void> {
    process.kill(this.pid, "SIGKILL");
    await this.#daemon?.exited;
    this.#daemon = undefined;
  }

  /** Asks the daemon to end, as an init system does. */
  async stop(): Promise<void> {
    process.kill(this.pid, "SIGTERM");
    await this.#daemon?.exited;
    this.#daemon = undefined;
  }

  /**
   * Removes every container, ends the daemon and removes its namespace and folders. `before` that, it unmounts what is mounted there.
   * @throws when the daemon's event loop stood still for more than 200 ms meanwhile, by its own work or wait
   */
  async close(before: () => void = () => undefined): Promise<void> {
    if (this.#daemon !== undefined) {
      for (const id of this.fathom("ps", "-aq").split("\n").filter(Boolean)) this.cli("rm", "-f", id);
      // When the daemon ends, the kernel frees them, and a leak would not be visible.
      const detached = (): readonly string[] => holdings(this.pid).detachedMounts;
      await until(
        `the daemon holds no detached mount without containers: ${detached().join(", ")}`,
        () => detached().length === 0,
      );
      await this.stop();
    }
    this.#registry?.kill("SIGKILL");
    await this.#registry?.exited;
    Bun.spawnSync(["ip", "netns", "del", this.#space]);
    removeCgroup(this.cgroupParent);
    before();
    const stalls = this.#stalls();
    rmSync(this.work, { recursive: true, force: true });
    if (stalls.length > 0) throw new Error(`the daemon's event loop stood still for too long:\n${stalls.join("\n")}`);
  }

  /**
   * The lines in the logs of this test's daemons about their event loops: one for each time of more than 200 ms in which the thread computed or
   * was blocked.
   * Time in which other programs keep a disk or the processors busy does not count: a commit waits for the disk
   * (docs/rfd/004-what-waits-for-the-disk.md), and the start of a process waits until the process has had a processor.
   */
  #stalls(): string[] {
    const figure = (line: string, name: string): number => Number(new RegExp(` ${name}=(\\d+)`).exec(line)![1]);
    return readFileSync(join(this.work, "log"), "utf8")
      .split("\n")
      .filter((line) => line.includes("the event loop stood still"))
      .filter((line) => {
        const ofOthers = figure(line, "diskBusyMs") + figure(line, "processorsShortMs");
        return figure(line, "ms") - Math.min(figure(line, "blockedMs"), ofOthers) > 200;
      });
  }
}
