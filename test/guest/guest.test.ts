/**
 * Fathom on the stock kernels of Debian 12 and 13, with cgroup v2, systemd and AppArmor. Each is booted as a virtual machine (boot.sh), and
 * each check of main-job.sh is a test here. A guest that does not start or does not reach its end is a failure.
 */
import { expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { binary } from "../daemon/harness.ts";
import { noDockerWords } from "../docker-cli.ts";
import { makeBusyboxImage } from "../make-busybox-image.ts";

const root = resolve(import.meta.dir, "../..");
const work = mkdtempSync(join(tmpdir(), "fathom-guest-"));

function run(...command: string[]): void {
  const child = Bun.spawnSync(command, { stdin: "ignore", cwd: root });
  if (child.exitCode !== 0) throw new Error(`${command.join(" ")}: ${child.exitCode}: ${child.stderr.toString()}`);
}

/** The files that each guest gets beside its script. */
function prepare(): string[] {
  makeBusyboxImage(join(work, "layout"), "localhost/busybox:test");
  run("tar", "-C", join(work, "layout"), "-cf", join(work, "image.tar"), ".");
  run("gcc", "-static", "-O2", "-o", join(work, "prober"), "test/prober/prober.c");
  cpSync(binary, join(work, "fathom"));
  cpSync(Bun.which("docker") ?? "docker", join(work, "docker"), { dereference: true });
  const units = ["fathom.service", "fathom.socket"].map((name) => join(root, "packaging/systemd", name));
  return [...["fathom", "docker", "image.tar", "prober"].map((name) => join(work, name)), ...units, ...packParity()];
}

/**
 * Only the scenarios for which kernel and cgroups matter: all would take an hour there. Not core/33-isolation.txt: it was recorded on a kernel
 * without /proc/kcore, and on a kernel that has it, Docker also makes /dev/core.
 */
const scenarios = [
  "core/14-tmpfs-readonly-shm.txt",
  "core/16-privileged-security.txt",
  "core/17-resource-limits.txt",
  "core/18-ulimit-sysctl.txt",
  "core/22-pause.txt",
  "core/34-devices-groups.txt",
  "containers/02-update-limits.txt",
  "containers/21-oom-and-limits.txt",
];

/** The scenarios, the program that runs them and stand-ins for their images, in one file; none when this docker CLI has other words. */
function packParity(): string[] {
  const reason = noDockerWords();
  if (reason !== undefined) {
    console.log(`parity scenarios in the guests: not run: ${reason}`);
    return [];
  }
  const folder = join(work, "parity");
  mkdirSync(folder);
  run(process.execPath, "test/parity/make-images.ts", join(folder, "images"));
  for (const name of ["run.py", "scenarios"])
    cpSync(join(root, "test/parity", name), join(folder, name), { recursive: true });
  writeFileSync(join(folder, "list"), scenarios.map((name) => `${name}\n`).join(""));
  run("tar", "-C", folder, "-cf", join(work, "parity.tar"), ".");
  return [join(work, "parity.tar")];
}

interface Check {
  readonly name: string;
  /** The expected and the actual text; undefined when they are equal. */
  readonly problem: string | undefined;
}

/** Boots a guest. Returns its checks and, last, whether it reached its end. */
function boot(suite: string, files: readonly string[]): Check[] {
  const child = Bun.spawnSync([join(import.meta.dir, "boot.sh"), suite, ...files], { stdin: "ignore", cwd: root });
  const text = child.stdout.toString();
  console.log(`${suite}: ${text.split("\n").find((line) => line.startsWith("guest: ")) ?? "the guest said nothing"}`);
  const checks: Check[] = [];
  for (const [, verdict, name, rest] of text.matchAll(/^(ok|FAIL) (.*)\n((?: {4}.*\n)*)/gm))
    checks.push({ name: name!, problem: verdict === "ok" ? undefined : `${name}\n${rest}` });
  const done = /^checks: \d+ failed$/m.test(text);
  const end = `${text.split("\n").slice(-30).join("\n")}\n${child.stderr.toString().slice(-3000)}`;
  checks.push({ name: "the guest gets to its end", problem: done ? undefined : `exit ${child.exitCode}\n${end}` });
  return checks;
}

const files = prepare();
for (const suite of ["bookworm", "trixie"])
  for (const { name, problem } of boot(suite, files)) test(`${suite}: ${name}`, () => expect(problem ?? "").toBe(""));
rmSync(work, { recursive: true, force: true });
