/** The systemd units: they are valid, they contain what the daemon needs, and socket activation works as they promise. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { binary, removeCgroup, until } from "../daemon/harness.ts";
import { runName } from "../run-name.ts";

const units = resolve(import.meta.dir, "../../packaging/systemd");
const work = mkdtempSync(join(tmpdir(), "fathom-units-"));
const space = `fathom-units-${runName}`;
beforeAll(() => {
  Bun.spawnSync(["ip", "netns", "add", space]);
});
afterAll(() => {
  Bun.spawnSync(["ip", "netns", "del", space]);
  removeCgroup(`/fathom-units-${runName}`);
  rmSync(work, { recursive: true, force: true });
});

test("systemd-analyze verify finds nothing", () => {
  const copies = join(work, "units");
  mkdirSync(copies);
  copyFileSync(join(units, "fathom.socket"), join(copies, "fathom.socket"));
  // The program need not be installed here.
  const service = readFileSync(join(units, "fathom.service"), "utf8").replace("/usr/bin/fathom", binary);
  writeFileSync(join(copies, "fathom.service"), service);
  const verify = (...files: string[]): { readonly code: number; readonly said: string } => {
    // It makes a folder in /run; that must not be the machine's /run.
    const command = 'mount -t tmpfs tmpfs /run && exec systemd-analyze verify "$@"';
    const paths = files.map((name) => join(copies, name));
    const child = Bun.spawnSync(["unshare", "--mount", "sh", "-c", command, "sh", ...paths]);
    // Units of this machine that belong to other packages are not checked.
    const said = `${child.stdout.toString()}${child.stderr.toString()}`
      .split("\n")
      .filter((line) => line.includes("fathom"))
      .join("\n");
    return { code: child.exitCode, said };
  };
  expect(verify("fathom.service", "fathom.socket")).toEqual({ code: 0, said: "" });
  // The check does find errors.
  writeFileSync(join(copies, "fathom.service"), service.replace("KillMode=process", "KillMode=nobody\nNonsense=yes"));
  expect(verify("fathom.service").said).toContain("Nonsense");
});

test("stopping the unit ends only the daemon, and memory, descriptors and tasks are set as it needs them", () => {
  const service = readFileSync(join(units, "fathom.service"), "utf8").split("\n");
  for (const line of [
    "Type=notify",
    "KillMode=process",
    "Delegate=yes",
    "OOMScoreAdjust=-500",
    "LimitNOFILE=1048576",
    "TasksMax=infinity",
    "Requires=fathom.socket",
    "Environment=BUN_GC_TIMER_INTERVAL=2000000000",
  ])
    expect(service).toContain(line);
  const exec = service.find((line) => line.startsWith("ExecStart="))!.slice("ExecStart=/usr/bin/fathom daemon ".length);
  // The daemon knows every flag in it.
  const child = Bun.spawnSync([binary, "daemon", "--validate", ...exec.split(" ")]);
  expect(child.exitCode).toBe(0);
});

test("started by its socket it serves the waiting client, and reports when it is ready and when it ends", async () => {
  const socket = join(work, "s");
  const told = join(work, "told");
  const notify = join(work, "notify");
  const listener = Bun.spawn(
    [
      "python3",
      "-c",
      "import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.bind(sys.argv[1])\nwhile 1:\n  open(sys.argv[2],'ab').write(s.recv(4096)+b'\\n')",
      notify,
      told,
    ],
    { stdout: "ignore", stderr: "inherit" },
  );
  await until("somebody listens to the daemon's states", () => existsSync(notify));
  const log = Bun.file(join(work, "log"));
  const daemon = Bun.spawn(
    [
      "nsenter",
      `--net=/run/netns/${space}`,
      "systemd-socket-activate",
      `--listen=${socket}`,
      `--setenv=NOTIFY_SOCKET=${notify}`,
      binary,
      "daemon",
      "-H",
      "fd://",
      "--data-root",
      join(work, "data"),
      "--exec-root",
      join(work, "run"),
      "--pidfile",
      join(work, "pid"),
      "--cgroup-parent",
      `/fathom-units-${runName}`,
    ],
    { stdin: "ignore", stdout: log, stderr: log },
  );
  try {
    await until("the socket is there", () => existsSync(socket) && statSync(socket).isSocket());
    // The first client starts it, and is answered.
    const answer = await fetch("http://localhost/_ping", { unix: socket, signal: AbortSignal.timeout(20_000) });
    expect(await answer.text()).toBe("OK");
    await until("it is ready", () => existsSync(told) && readFileSync(told, "utf8") === "READY=1\n");
    const pid = Number(readFileSync(join(work, "pid"), "utf8"));
    process.kill(pid, "SIGTERM");
    expect(await daemon.exited).toBe(0);
    await until("the program reported its end", () => readFileSync(told, "utf8") === "READY=1\nSTOPPING=1\n");
    // The socket stays with the service manager, for the next start.
    expect(existsSync(socket)).toBe(true);
  } finally {
    daemon.kill("SIGKILL");
    listener.kill("SIGKILL");
    await Promise.all([daemon.exited, listener.exited]);
  }
}, 60_000);

test("without sockets from a service manager fd:// is an error that says what to do", () => {
  const flags = ["--data-root", join(work, "d2"), "--exec-root", join(work, "r2"), "--pidfile", join(work, "p2")];
  const child = Bun.spawnSync([binary, "daemon", "-H", "fd://", ...flags]);
  expect(child.exitCode).toBe(1);
  expect(child.stderr.toString()).toContain("no sockets found via socket activation");
});
