/** The programs that call runc: containerd, dockerd and Podman run, exec, limit, stop and remove containers on `fathom-runc`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { removeCgroup, until } from "../daemon/harness.ts";
import { runName } from "../run-name.ts";
import { finished, RuncRig } from "./rig.ts";

const rig = new RuncRig();
/** The daemons make these, whatever their flags say. */
const madeOutside = ["/run/docker", "/run/containerd", "/run/runc"].filter((path) => !existsSync(path));
/** Podman does not take a long path. */
const runroot = `/run/fathom-${runName}`;
afterAll(() => {
  for (const path of [...madeOutside, runroot]) rmSync(path, { recursive: true, force: true });
  removeCgroup(`${rig.parent}/conmon`);
  rig[Symbol.dispose]();
});

const tools = resolve(import.meta.dir, "../../.tools/bin");
process.env["PATH"] = `${tools}:${process.env["PATH"]}`;

/** A daemon in this test's folder; its output is in a file beside it. */
class Daemon {
  readonly base: string;
  readonly socket: string;
  readonly #name: string;
  #process: Bun.Subprocess | undefined;

  /** @param folder Short: the path of a unix socket in it has at most 104 characters for containerd. */
  constructor(name: string, folder: string) {
    this.#name = name;
    this.base = join(rig.base, folder);
    this.socket = join(this.base, "sock");
    mkdirSync(this.base);
  }

  async start(args: readonly string[], ready: readonly string[]): Promise<void> {
    const log = openSync(join(this.base, "log"), "w");
    const child = Bun.spawn([this.#name, ...args], { stdin: "ignore", stdout: log, stderr: log });
    this.#process = child;
    await until(`${this.#name} answers`, async () => {
      if (child.exitCode !== null) throw new Error(readFileSync(join(this.base, "log"), "utf8"));
      return (await finished(ready)).code === 0;
    });
  }

  async stop(): Promise<void> {
    this.#process?.kill("SIGTERM");
    await this.#process?.exited;
  }
}

/** A file of a cgroup on v1 or v2, whichever is there. */
function cgroupValue(path: string, ...files: string[]): string | undefined {
  for (const hierarchy of ["", ...readdirSync("/sys/fs/cgroup")])
    for (const file of files) {
      try {
        return readFileSync(join("/sys/fs/cgroup", hierarchy, path, file), "utf8").trim();
      } catch {
        // Not in this hierarchy.
      }
    }
  return undefined;
}

function limitsOf(parent: string, name: string): readonly (string | undefined)[] {
  return [
    cgroupValue(join(parent, name), "memory.limit_in_bytes", "memory.max"),
    cgroupValue(join(parent, name), "pids.max"),
  ];
}

const limit = 64 << 20;

describe("containerd", () => {
  const daemon = new Daemon("containerd", "c");
  const ctr = (...args: string[]): ReturnType<typeof finished> =>
    finished(["ctr", "--address", daemon.socket, ...args]);
  const run = (...args: string[]): ReturnType<typeof finished> =>
    ctr("run", "--runc-binary", rig.program, "--env", "PATH=/bin", "--rootfs", ...args);
  const cgroup = `${rig.parent}/ctr`;

  beforeAll(async () => {
    const config = join(daemon.base, "config.toml");
    writeFileSync(
      config,
      `version = 2
root = "${daemon.base}/root"
state = "${daemon.base}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "${daemon.socket}"
`,
    );
    await daemon.start(["--config", config], ["ctr", "--address", daemon.socket, "version"]);
  });
  afterAll(() => daemon.stop());

  test("a container in the foreground", async () => {
    const script = "echo out; echo err >&2; exit 4";
    const { code, out, err } = await run("--rm", "--cgroup", cgroup, rig.rootfs, "one", "sh", "-c", script);
    expect({ code, out, err: err.includes("err") }).toEqual({ code: 4, out: "out\n", err: true });
    expect((await ctr("task", "ls", "-q")).out).toBe("");
    expect(rig.cgroups()).toEqual([]);
  });

  test("a container in the background: exec, limits, pause, kill, removal", async () => {
    const made = await run(
      "--detach",
      "--cgroup",
      cgroup,
      "--memory-limit",
      String(limit),
      rig.rootfs,
      "two",
      "sleep",
      "1000",
    );
    expect(made).toMatchObject({ code: 0 });
    expect(limitsOf(rig.parent, "ctr")[0]).toBe(String(limit));
    const exec = (...args: string[]): ReturnType<typeof finished> =>
      ctr("task", "exec", "--exec-id", `e${Math.random()}`, "two", ...args);
    expect(await exec("sh", "-c", "cat /proc/1/comm; exit 5")).toMatchObject({ code: 5, out: "sleep\n" });
    expect((await exec("nosuch")).err).toContain('exec: "nosuch": executable file not found in $PATH');
    await ctr("task", "pause", "two");
    expect((await ctr("task", "ls")).out).toContain("PAUSED");
    await ctr("task", "resume", "two");
    expect((await ctr("task", "ls")).out).toContain("RUNNING");
    expect((await ctr("task", "metrics", "two")).code).toBe(0);
    await ctr("task", "kill", "--signal", "SIGKILL", "two");
    await until("it has stopped", async () => (await ctr("task", "ls")).out.includes("STOPPED"));
    expect((await ctr("task", "rm", "two")).err).toContain("137");
    await ctr("container", "rm", "two");
    expect((await ctr("container", "ls", "-q")).out).toBe("");
    expect(rig.cgroups()).toEqual([]);
  });

  test("a program that is missing", async () => {
    const { code, err } = await run("--rm", "--cgroup", cgroup, rig.rootfs, "three", "nosuch");
    expect(code).toBe(1);
    expect(err).toContain('exec: "nosuch": executable file not found in $PATH');
    expect(rig.cgroups()).toEqual([]);
  });
});

describe("dockerd", () => {
  const daemon = new Daemon("dockerd", "d");
  const docker = (...args: string[]): ReturnType<typeof finished> =>
    finished(["docker", "--host", `unix://${daemon.socket}`, ...args]);
  const run = (...args: string[]): ReturnType<typeof finished> =>
    docker("run", "--network", "none", "--ulimit", "nofile=1000:1000", ...args);

  beforeAll(async () => {
    writeFileSync(join(daemon.base, "daemon.json"), "{}");
    const own = ["config-file=daemon.json", "data-root=data", "exec-root=r", "pidfile=pid"];
    const flags = own.map((flag) => `--${flag.replace("=", `=${daemon.base}/`)}`);
    const runtime = ["--add-runtime", `fathom=${rig.program}`, "--default-runtime", "fathom"];
    const network = ["--bridge=none", "--iptables=false", "--storage-driver=vfs", `--cgroup-parent=${rig.parent}`];
    await daemon.start(
      [...flags, ...runtime, ...network, "--host", `unix://${daemon.socket}`],
      ["docker", "--host", `unix://${daemon.socket}`, "version"],
    );
    const archive = join(daemon.base, "root.tar");
    await finished(["tar", "-C", rig.rootfs, "-cf", archive, "."]);
    expect(await docker("import", archive, "box:1")).toMatchObject({ code: 0 });
  });
  afterAll(() => daemon.stop());

  test("a container in the foreground", async () => {
    const { code, out, err } = await run("--rm", "box:1", "sh", "-c", "echo out; echo err >&2; exit 4");
    expect({ code, out, err }).toEqual({ code: 4, out: "out\n", err: "err\n" });
    expect((await docker("ps", "--all", "--quiet")).out).toBe("");
    expect(rig.cgroups()).toEqual([]);
  });

  test("a container in the background: exec, limits and their change, pause, stop, a second start, removal", async () => {
    const made = await run(
      "--detach",
      "--memory",
      "64m",
      "--pids-limit",
      "50",
      "--name",
      "two",
      "box:1",
      "sleep",
      "1000",
    );
    const id = made.out.trim();
    expect(limitsOf(rig.parent, id)).toEqual([String(limit), "50"]);
    expect(await docker("exec", "two", "sh", "-c", "cat /proc/1/comm; exit 5")).toMatchObject({
      code: 5,
      out: "sleep\n",
    });
    expect((await docker("exec", "two", "nosuch")).out).toContain('exec: "nosuch": executable file not found in $PATH');
    await docker("update", "--memory", "128m", "--memory-swap", "128m", "two");
    expect(limitsOf(rig.parent, id)[0]).toBe(String(2 * limit));
    await docker("pause", "two");
    expect((await docker("inspect", "--format", "{{.State.Status}}", "two")).out).toBe("paused\n");
    await docker("unpause", "two");
    expect((await docker("top", "two")).out).toContain("sleep 1000");
    await docker("stop", "--time", "1", "two");
    expect((await docker("inspect", "--format", "{{.State.ExitCode}}", "two")).out).toBe("137\n");
    expect(await docker("start", "two")).toMatchObject({ code: 0 });
    expect(await docker("rm", "--force", "two")).toMatchObject({ code: 0 });
    expect(rig.cgroups()).toEqual([]);
  });

  test("a program that is missing gives Docker's code", async () => {
    const { code, err } = await run("--rm", "box:1", "nosuch");
    expect({ code, err }).toMatchObject({
      code: 127,
      err: expect.stringContaining("executable file not found in $PATH"),
    });
    expect((await run("--rm", "box:1", "/etc")).code).toBe(126);
    expect(rig.cgroups()).toEqual([]);
  });

  test("a user, dropped rights, and a read-only root", async () => {
    const flags = ["--rm", "--user", "5:6", "--cap-drop", "ALL", "--read-only", "--tmpfs", "/tmp"];
    const look = "id -u; grep CapBnd /proc/self/status; touch /x; touch /tmp/x && echo written";
    const { out, err } = await run(...flags, "box:1", "sh", "-c", look);
    expect(out).toBe("5\nCapBnd:\t0000000000000000\nwritten\n");
    expect(err).toContain("Read-only file system");
  });
});

describe("Podman", () => {
  const base = join(rig.base, "podman");
  const places = ["--root", join(base, "root"), "--runroot", runroot, "--tmpdir", join(runroot, "tmp")];
  const own = places.concat(
    "--storage-driver=vfs",
    "--cgroup-manager=cgroupfs",
    "--events-backend=none",
    "--log-level=error",
  );
  const podman = (...args: string[]): ReturnType<typeof finished> =>
    finished(["podman", ...own, "--runtime", rig.program, ...args]);
  const limits = ["--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"];
  const run = (...args: string[]): ReturnType<typeof finished> =>
    podman("run", "--network", "none", "--cgroup-parent", rig.parent, ...limits, ...args);

  test("a container in the foreground", async () => {
    const { code, out, err } = await run("--rm", "--rootfs", rig.rootfs, "sh", "-c", "echo out; echo err >&2; exit 4");
    expect({ code, out, err }).toEqual({ code: 4, out: "out\n", err: "err\n" });
  });

  test("a container in the background: exec, limits and their change, pause, stop, removal", async () => {
    const made = await run(
      "--detach",
      "--memory",
      "64m",
      "--pids-limit",
      "50",
      "--name",
      "two",
      "--rootfs",
      rig.rootfs,
      "sleep",
      "1000",
    );
    expect(made).toMatchObject({ code: 0 });
    const name = `libpod-${made.out.trim()}`;
    expect(limitsOf(rig.parent, name)).toEqual([String(limit), "50"]);
    expect(await podman("exec", "two", "sh", "-c", "cat /proc/1/comm; exit 5")).toMatchObject({
      code: 5,
      out: "sleep\n",
    });
    expect((await podman("exec", "two", "nosuch")).code).toBe(127);
    await podman("update", "--memory", "128m", "two");
    expect(limitsOf(rig.parent, name)[0]).toBe(String(2 * limit));
    await podman("pause", "two");
    expect((await podman("inspect", "--format", "{{.State.Status}}", "two")).out).toBe("paused\n");
    await podman("unpause", "two");
    await podman("stop", "--time", "1", "two");
    expect((await podman("inspect", "--format", "{{.State.ExitCode}}", "two")).out).toBe("137\n");
    expect(await podman("rm", "--force", "two")).toMatchObject({ code: 0 });
    await until("its cgroup is gone", () => !rig.cgroups().includes(name));
  });
});
