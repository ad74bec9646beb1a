import { expect, test } from "bun:test";
import { EngineError } from "@fathom/base";
import { NotReady, type Obstacle, type Use } from "@fathom/containers";
import { LaunchFailure, type Operation } from "@fathom/runtime";
import { launchFailure, SupervisorFailure } from "@fathom/runtime/testing";
import { errnoNumber, SysError } from "@fathom/sys";
import {
  execWords,
  exitCodeAfterStart,
  exitCodeOfExec,
  exitCodeOfStart,
  notReadyWords,
  startWords,
} from "./launch-words.ts";

const ENOENT = errnoNumber("ENOENT");
const EPERM = errnoNumber("EPERM");
const ENOEXEC = errnoNumber("ENOEXEC");
const EACCES = errnoNumber("EACCES");
const ENOTDIR = errnoNumber("ENOTDIR");
const EISDIR = errnoNumber("EISDIR");
const ENAMETOOLONG = errnoNumber("ENAMETOOLONG");

function exec(name: string): Operation {
  return { kind: "exec", candidates: [name], argv: [name], env: [] };
}

function failed(
  index: number | undefined,
  errno: number,
  call: string,
  detail = "",
  operation?: Operation,
): LaunchFailure {
  const plan = { operations: operation === undefined ? [] : [operation] };
  const stage = operation === undefined ? "stem" : "launch";
  return launchFailure(new SupervisorFailure(index, errno, call, detail), plan, stage) as LaunchFailure;
}

function words(operation: Operation, errno: number, call: string, detail = ""): [string, string] {
  const failure = failed(0, errno, call, detail, operation);
  return [
    failure.code,
    execWords(failure).replace(/^OCI runtime exec failed: exec failed: unable to start container process: /, ""),
  ];
}

test("an exec whose process the runtime does not take", () => {
  const failure = LaunchFailure.of("compile", new EngineError("invalid-argument", "Cwd must be an absolute path"));
  expect([execWords(failure), exitCodeOfExec(failure)]).toEqual([
    "OCI runtime exec failed: exec failed: Cwd must be an absolute path",
    126,
  ]);
});

test("programs", () => {
  expect(words(exec("nosuch"), ENOENT, "stat")).toEqual([
    "executable-not-found",
    'exec: "nosuch": executable file not found in $PATH',
  ]);
  // A file in the PATH that may not be executed counts as not found, because a shell's search skips it.
  expect(words(exec("nosuch"), EACCES, "access")[0]).toBe("executable-not-found");
  expect(words(exec("/no/such"), ENOENT, "stat")).toEqual([
    "executable-not-found",
    'exec: "/no/such": stat /no/such: no such file or directory',
  ]);
  expect(words(exec("/etc"), EISDIR, "stat")).toEqual([
    "not-executable",
    'exec: "/etc": is a directory: permission denied',
  ]);
  expect(words(exec("/a"), EACCES, "access")).toEqual(["not-executable", 'exec: "/a": permission denied']);
  expect(words(exec("/a/b"), ENOTDIR, "stat")[0]).toBe("not-executable");
  expect(words(exec("/a"), ENOEXEC, "execve", "/a")).toEqual(["not-executable", "exec /a: exec format error"]);
  // The script exists, but its interpreter does not.
  expect(words(exec("script"), ENOENT, "execve", "/bin/script")).toEqual([
    "executable-not-found",
    "exec /bin/script: no such file or directory",
  ]);
});

test("errors of other operations name their object", () => {
  const bind: Operation = {
    kind: "bind",
    source: "/src",
    target: "/dst",
    recursive: true,
    attributes: { set: [] },
    create: true,
  };
  const [code, text] = words(bind, ENOTDIR, "move_mount");
  expect(code).toBe("not-executable");
  expect(text).toStartWith('error mounting "/src" to rootfs at "/dst": move_mount: not a directory: Are you trying');
  expect(words({ kind: "working-directory", path: "/no", create: false }, ENOENT, "chdir")).toEqual([
    "executable-not-found",
    'chdir to cwd ("/no") set in config.json failed: no such file or directory',
  ]);
  expect(words({ kind: "set-hostname", name: "x" }, EPERM, "sethostname")[1]).toContain("operation not permitted");
  expect(words({ kind: "make-directory", path: "/f", mode: 0o755 }, ENOTDIR, "mkdirat")).toEqual([
    "invalid-argument",
    "Cannot mkdir: /f is not a directory",
  ]);
});

test("steps before the operations", () => {
  const stem = failed(undefined, EPERM, "clone3");
  expect([stem.code, stem.stage, stem.call, stem.errno]).toEqual(["internal", "stem", "clone3", EPERM]);
  expect(startWords(stem)).toEndWith("error during container init: clone3: operation not permitted");
});

test("other steps of a start", () => {
  const network = LaunchFailure.of("network", new EngineError("conflict", "port is already allocated"));
  expect(startWords(network)).toBe("failed to set up container networking: port is already allocated");
  const files = LaunchFailure.of("files", new SysError("mkdir", ENOENT, "/x"));
  expect([files.stage, files.call, files.errno, exitCodeOfStart(files)]).toEqual(["files", "mkdir", ENOENT, 127]);
  const caused = LaunchFailure.of(
    "user",
    new EngineError("invalid-argument", "no", { cause: new SysError("stat", EACCES) }),
  );
  expect([caused.code, caused.errno, exitCodeOfStart(caused)]).toEqual(["invalid-argument", EACCES, 126]);
  expect(LaunchFailure.of("mounts", new SysError("stat", ENAMETOOLONG, "/x")).code).toBe("invalid-argument");
  // Nothing was made yet: the code of the previous run stays, unless it is 0.
  expect([exitCodeAfterStart(network, 3), exitCodeAfterStart(network, 0)]).toEqual([3, 128]);
  expect(exitCodeAfterStart(failed(undefined, EPERM, "clone3"), 3)).toBe(128);
  expect([exitCodeOfExec(caused), exitCodeOfExec(network)]).toEqual([1, 126]);
});

test("values of a request that the kernel rejects are errors of the request", () => {
  const EINVAL = errnoNumber("EINVAL");
  const EMFILE = errnoNumber("EMFILE");
  const EBADF = errnoNumber("EBADF");
  const sysctl: Operation = { kind: "sysctl", key: "net/ipv4/ip_forward", value: "x" };
  const limit: Operation = { kind: "rlimit", resource: "RLIMIT_NOFILE", soft: 1n, hard: 2n };
  expect(words(sysctl, EINVAL, "write")[0]).toBe("invalid-argument");
  expect(words(limit, EPERM, "prlimit64")[0]).toBe("invalid-argument");
  expect(words({ kind: "set-domainname", name: "x" }, EINVAL, "setdomainname")[0]).toBe("invalid-argument");
  const directory: Operation = { kind: "working-directory", path: "/tmp", create: false };
  expect(words(directory, EMFILE, "open")[0]).toBe("invalid-argument");
  expect(words({ kind: "make-directory", path: "/x", mode: 0o755 }, ENAMETOOLONG, "mkdirat")[0]).toBe(
    "invalid-argument",
  );
  expect(words({ kind: "seccomp", program: new Uint8Array(8), flags: 0 }, EBADF, "dup2")[0]).toBe("invalid-argument");
  // The words do not change.
  expect(startWords(failed(0, EINVAL, "write", "", sysctl))).toStartWith("failed to create task for container: ");
  expect(words({ kind: "new-session" }, EINVAL, "setsid")[0]).toBe("internal");
});

test("paths that are not accessible, and programs that may not run, are errors of the request too", () => {
  const [EIO, EBUSY, ENODEV, EINVAL, ETXTBSY, EROFS] = [5, 16, 19, 22, 26, 30];
  for (const errno of [EBUSY, ENODEV, EINVAL, EROFS])
    for (const operation of [
      { kind: "mask", path: "/proc/kcore" },
      { kind: "make-directory", path: "/x", mode: 0o755 },
      { kind: "working-directory", path: "/x", create: true },
    ] satisfies Operation[])
      expect(words(operation, errno, "openat2")[0]).toBe("invalid-argument");
  for (const errno of [EPERM, EINVAL, ETXTBSY])
    expect(words(exec("/a"), errno, "execve", "/a")[0]).toBe("not-executable");
  expect(words(exec("/a"), EIO, "execve", "/a")[0]).toBe("internal");
  expect(words({ kind: "mask", path: "/proc/kcore" }, EIO, "openat2")[0]).toBe("internal");
});

test("a process that was killed before its program ran: by its own limits at a start, by the container's end at an exec", () => {
  const ECANCELED = errnoNumber("ECANCELED");
  const failure = new SupervisorFailure(0, ECANCELED, "killed", "");
  const code = (of: "launch" | "exec"): string => launchFailure(failure, { operations: [exec("/a")] }, of).code;
  expect([code("launch"), code("exec")]).toEqual(["invalid-argument", "conflict"]);
});

test("a container that cannot be used now gives Docker's words, also when this is the reason of a failed exec", () => {
  const container = { id: "c1", record: { name: "tick" } };
  const words = (use: Use, obstacle: Obstacle): string => notReadyWords(new NotReady(container, use, obstacle));
  expect(words("exec", "paused")).toBe("Container tick is paused, unpause the container before exec");
  expect(words("attach", "paused")).toBe("container c1 is paused, unpause the container before attach");
  expect(words("exec", "restarting")).toBe("Container c1 is restarting, wait until the container is running");
  expect(words("attach", "restarting")).toBe("container c1 is restarting, wait until the container is running");
  for (const use of ["exec", "process"] as const) expect(words(use, "not-running")).toBe("container c1 is not running");
  const failure = LaunchFailure.of("launch", new NotReady(container, "exec", "paused"));
  expect([failure.code, execWords(failure)]).toEqual(["conflict", words("exec", "paused")]);
});
