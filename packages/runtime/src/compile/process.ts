/** What happens to the process itself, of a container or of an exec: limits, identity, rights, and finally the program. */
import { posix } from "node:path";
import { EngineError } from "@fathom/base";
import { toUint64, type LinuxConfig, type LinuxSeccomp, type OciProcess, type OciRlimit } from "@fathom/spec";
import { capabilityMask } from "./capabilities.ts";
import type { Operation } from "../plan/plan.ts";
import { schedulingOperations } from "./scheduling.ts";
import { compileSeccomp, type SeccompArchitecture } from "../seccomp/compile.ts";

export interface ProcessContext {
  readonly init: boolean;
  readonly waitForStart: boolean;
  /** What happens between the start and the program. */
  readonly afterStart: readonly Operation[];
  readonly seccomp?: LinuxSeccomp;
  readonly architecture: SeccompArchitecture;
  readonly personality?: LinuxConfig["personality"];
}

/** getrlimit(2). */
const rlimitNames: ReadonlySet<string> = new Set(
  "AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK"
    .split(" ")
    .map((name) => `RLIMIT_${name}`),
);

/** umask(2) of a process whose configuration has none. */
const defaultUmask = 0o022;

/** Everything from the process's limits to execve, in an order in which each step still has the rights that it needs. */
export function processOperations(process: OciProcess, context: ProcessContext): Operation[] {
  refuseUnsupported(process);
  const operations: Operation[] = [];
  const { user } = process;
  const capabilities = process.capabilities ?? {};
  const noNewPrivileges = process.noNewPrivileges === true;
  const seccomp = context.seccomp === undefined ? undefined : seccompOperation(context.seccomp, context.architecture);

  if (process.oomScoreAdj !== undefined && process.oomScoreAdj !== null)
    operations.push({ kind: "oom-score-adj", value: process.oomScoreAdj });
  operations.push(...schedulingOperations(process));
  if (context.personality) operations.push(personalityOperation(context.personality));
  operations.push({ kind: "umask", mask: user.umask ?? defaultUmask });
  if (noNewPrivileges) operations.push({ kind: "no-new-privileges" });
  for (const limit of process.rlimits ?? []) operations.push(rlimitOperation(limit));
  // Without no_new_privs, loading a filter needs CAP_SYS_ADMIN: it must come before the capabilities are dropped.
  if (seccomp !== undefined && !noNewPrivileges) operations.push(seccomp);
  operations.push({
    kind: "bounding-set",
    keep: capabilityMask(capabilities.bounding ?? [], "process.capabilities.bounding"),
  });
  // Still with root's rights: a user may start in a directory that it could not have entered.
  operations.push({ kind: "working-directory", path: process.cwd, create: false });
  operations.push({ kind: "set-user", uid: user.uid, gid: user.gid, groups: [...(user.additionalGids ?? [])] });
  operations.push(capabilitiesOperation(capabilities));
  const exec = execOperation(process, context.init);
  const { candidates, argv } = exec;
  if (context.waitForStart) operations.push({ kind: "find-program", candidates, argv }, { kind: "wait-start" });
  operations.push(...context.afterStart);
  // With no_new_privs, loading needs no right. The later it comes, the fewer of the engine's own calls a profile must allow.
  if (seccomp !== undefined && noNewPrivileges) operations.push(seccomp);
  operations.push(exec);
  return operations;
}

function seccompOperation(profile: LinuxSeccomp, architecture: SeccompArchitecture): Operation {
  const notifies = (profile.syscalls ?? []).some((rule) => rule.action === "SCMP_ACT_NOTIFY");
  if (notifies || (profile.listenerPath ?? "") !== "")
    throw new EngineError("not-implemented", "linux.seccomp.listenerPath (SCMP_ACT_NOTIFY): not supported yet");
  const { program, flags } = compileSeccomp(profile, architecture);
  return { kind: "seccomp", program, flags };
}

function capabilitiesOperation(sets: NonNullable<OciProcess["capabilities"]>): Operation {
  const mask = (name: "effective" | "permitted" | "inheritable" | "ambient"): bigint =>
    capabilityMask(sets[name] ?? [], `process.capabilities.${name}`);
  const [effective, permitted, inheritable, ambient] = [
    mask("effective"),
    mask("permitted"),
    mask("inheritable"),
    mask("ambient"),
  ];
  if ((effective & ~permitted) !== 0n)
    throw new EngineError("invalid-argument", "process.capabilities.effective: must be part of the permitted set");
  // The kernel keeps the ambient set inside both sets; other bits are dropped, as in other runtimes.
  return { kind: "capabilities", effective, permitted, inheritable, ambient: ambient & permitted & inheritable };
}

function rlimitOperation(limit: OciRlimit): Operation {
  if (!rlimitNames.has(limit.type))
    throw new EngineError("invalid-argument", `process.rlimits: unknown resource limit "${limit.type}"`);
  const soft = toUint64(limit.soft);
  const hard = toUint64(limit.hard);
  if (soft > hard)
    throw new EngineError(
      "invalid-argument",
      `process.rlimits: ${limit.type}: the soft limit ${soft} is above the hard limit ${hard}`,
    );
  return { kind: "rlimit", resource: limit.type, soft, hard };
}

function personalityOperation(personality: NonNullable<LinuxConfig["personality"]>): Operation {
  if ((personality.flags?.length ?? 0) > 0)
    throw new EngineError("invalid-argument", "linux.personality.flags: none is defined by the specification");
  // PER_LINUX and PER_LINUX32 of personality(2).
  return { kind: "personality", persona: personality.domain === "LINUX32" ? 0x0008 : 0 };
}

function execOperation(process: OciProcess, init: boolean): Extract<Operation, { kind: "exec" }> {
  const argv = process.args ?? [];
  const program = argv[0];
  if (program === undefined) throw new EngineError("invalid-argument", "process.args: there is no program to execute");
  const env = process.env ?? [];
  for (const text of [...argv, ...env])
    if (text.includes("\0"))
      throw new EngineError("invalid-argument", "process: an argument or variable holds a NUL byte");
  for (const entry of env)
    if (entry.indexOf("=") < 1)
      throw new EngineError("invalid-argument", `process.env: "${entry}" is not of the form NAME=value`);
  const kept = lastOfEachName(env);
  return {
    kind: "exec",
    candidates: executableCandidates(program, kept),
    argv: [...argv],
    env: kept,
    ...(init ? { init: true } : {}),
  };
}

/** When a variable is given twice, the last value counts, at the place of the first. */
function lastOfEachName(env: readonly string[]): string[] {
  const byName = new Map<string, string>();
  for (const entry of env) byName.set(entry.slice(0, entry.indexOf("=")), entry);
  return [...byName.values()];
}

/** The search of execvp: a name with a slash is a path; any other name is looked for in each directory of the container's PATH. */
function executableCandidates(program: string, env: readonly string[]): string[] {
  if (program.includes("/")) return [program];
  if (program === "") return [];
  const path = env.find((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  if (path === "") return [];
  return path.split(":").map((directory) => posix.join(directory === "" ? "." : directory, program));
}

/** Members that are not supported yet. The error for each names it: to ignore one silently would be worse. */
function refuseUnsupported(process: OciProcess): void {
  if (!process.cwd.startsWith("/")) throw new EngineError("invalid-argument", "Cwd must be an absolute path");
  const later = {
    "process.apparmorProfile": process.apparmorProfile,
    "process.selinuxLabel": process.selinuxLabel,
  };
  for (const [name, value] of Object.entries(later))
    if (value !== undefined && value !== null && value !== "")
      throw new EngineError("not-implemented", `${name} is not supported yet`);
}
