import { expect, test } from "bun:test";
import { ContainerProblem, type JoinedNamespace, type JoinObstacle, type Problem } from "@fathom/containers";
import { LaunchFailure } from "@fathom/runtime";
import { startWords } from "./launch-words.ts";
import { problemWords } from "./problem-words.ts";
import { withDockersWords } from "./refusal-words.ts";

function words(problem: Problem): [string, string] {
  const error = new ContainerProblem(problem);
  return [error.code, problemWords(error)];
}

test("errors of requests about containers and execs are in Docker's words", () => {
  expect(words({ kind: "no-such-container", name: "x" })).toEqual(["not-found", "No such container: x"]);
  expect(words({ kind: "several-containers", prefix: "ab" })).toEqual([
    "invalid-argument",
    "multiple IDs found with provided prefix: ab",
  ]);
  expect(words({ kind: "name-taken", name: "one", holder: "c1" })).toEqual([
    "conflict",
    'Conflict. The container name "/one" is already in use by container "c1". You have to remove (or rename) that container to be able to reuse that name.',
  ]);
  expect(words({ kind: "not-removable", name: "one", state: "paused" })).toEqual([
    "conflict",
    'cannot remove container "one": container is paused and must be unpaused first',
  ]);
  for (const state of ["running", "restarting"] as const)
    expect(words({ kind: "not-removable", name: "one", state })[1]).toBe(
      `cannot remove container "one": container is ${state}: stop the container before removing or force remove`,
    );
  expect(words({ kind: "does-not-end", name: "one" })).toEqual([
    "timeout",
    "cannot stop container: one: tried to kill container, but did not receive an exit event",
  ]);
  expect(words({ kind: "no-such-exec", id: "e1" })).toEqual(["not-found", "No such exec instance: e1"]);
  expect(words({ kind: "exec-ended", id: "e1" })).toEqual(["conflict", "exec command e1 has already run"]);
  expect(words({ kind: "exec-running", id: "e1" })).toEqual(["conflict", "exec command e1 is already running"]);
  expect(words({ kind: "exec-not-running", id: "e1" })).toEqual(["conflict", "exec e1 is not running"]);
  expect(words({ kind: "log-not-readable", id: "c1" })).toEqual([
    "not-implemented",
    "configured logging driver does not support reading",
  ]);
  expect(words({ kind: "no-log-stream" })).toEqual([
    "invalid-argument",
    "must specify at least one of 'stdout' or 'stderr'",
  ]);
  expect(words({ kind: "no-such-path", path: "/x", container: "one" })).toEqual([
    "not-found",
    "Could not find the file /x in container one",
  ]);
  expect(words({ kind: "default-link", name: "one" })).toEqual([
    "conflict",
    "Conflict, cannot remove the default link name of the container",
  ]);
  expect(words({ kind: "unsupported-ps-option", option: "--forest" })).toEqual([
    "invalid-argument",
    'ps: unsupported option "--forest": -e, -f, -o LIST and the forms ef, aux and axo LIST are supported',
  ]);
  expect(words({ kind: "unknown-ps-column", name: "x" })).toEqual([
    "invalid-argument",
    'ps: error: unknown user-defined format specifier "x"',
  ]);
  expect(words({ kind: "no-pid-column" })).toEqual(["invalid-argument", "Couldn't find PID field in ps output"]);
  for (const path of ["/etc/passwd/", "etc/passwd/"])
    expect(words({ kind: "path-below-file", path })).toEqual(["internal", "lstat /etc/passwd/: not a directory"]);
  expect(words({ kind: "empty-path" })).toEqual(["invalid-argument", "bad parameter: path cannot be empty"]);
});

test("errors of signals, of sources of mounts and of addresses are in Docker's words", () => {
  const text = (problem: Problem): string => {
    const [code, said] = words(problem);
    expect(code).toBe("invalid-argument");
    return said;
  };
  expect(text({ kind: "no-such-signal", text: "NOSUCH", beyond: false })).toBe("invalid signal: NOSUCH");
  expect(text({ kind: "no-such-signal", text: "099", beyond: true })).toBe(
    "the linux daemon does not support signal 99",
  );
  expect(text({ kind: "no-mount-source", path: "/x" })).toBe(
    'invalid mount config for type "bind": bind source path does not exist: /x',
  );
  expect(text({ kind: "mount-source-not-made", path: "/x", reason: "no" })).toBe(
    "error while creating mount source path '/x': no",
  );
  expect(text({ kind: "subpath-escapes", source: "/v", subpath: "../x" })).toBe(
    "path concatenation escapes the base directory, base: /v, subpath: ../x",
  );
  expect(text({ kind: "subpath-unusable", path: "/v/x", reason: "no" })).toBe("cannot access path /v/x: no");
  expect(text({ kind: "subpath-unusable", path: "/v/x", reason: undefined })).toBe(
    "cannot access path /v/x: no such file or directory",
  );
  expect(text({ kind: "does-not-propagate", source: "/etc", mountPoint: "/", needed: ["shared", "slave"] })).toBe(
    "path /etc is mounted on / but it is not a shared or slave mount",
  );
  expect(text({ kind: "no-host-gateway" })).toBe("unable to derive the IP value for host-gateway");
});

test("a start that fails for one of these reasons, such as namespaces that cannot be joined, fails in Docker's words", () => {
  const started = (problem: Problem): [string, string] => {
    const failure = LaunchFailure.of("join", new ContainerProblem(problem));
    return [failure.code, startWords(failure)];
  };
  const joining = (namespace: JoinedNamespace, why: JoinObstacle): [string, string] =>
    started({ kind: "not-joinable", namespace, why });
  const reason = new ContainerProblem({ kind: "no-such-container", name: "x" });
  expect(joining("network", { kind: "not-found", reason })).toEqual([
    "conflict",
    "joining network namespace of container: No such container: x",
  ]);
  expect(joining("pid", { kind: "not-found", reason })).toEqual(["internal", "No such container: x"]);
  expect(joining("ipc", { kind: "not-found", reason })).toEqual([
    "internal",
    "failed to join IPC namespace: No such container: x",
  ]);
  expect(joining("network", { kind: "itself" })).toEqual(["conflict", "cannot join own network namespace"]);
  expect(joining("network", { kind: "restarting", id: "c2" })).toEqual([
    "conflict",
    "cannot join network namespace of container: Container c2 is restarting, wait until the container is running",
  ]);
  const stopped: JoinObstacle = { kind: "not-running", id: "c2", name: "two", status: "exited" };
  expect(joining("network", stopped)).toEqual([
    "conflict",
    "cannot join network namespace of a non running container: container two is exited",
  ]);
  expect(joining("pid", stopped)).toEqual(["internal", "container c2 is not running"]);
  expect(joining("ipc", stopped)[1]).toBe("failed to join IPC namespace: container c2 is not running");
  expect(joining("ipc", { kind: "not-shared", id: "c2" })).toEqual([
    "internal",
    "failed to join IPC namespace: container c2: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
  ]);
  const network = LaunchFailure.of("network", new ContainerProblem({ kind: "no-host-gateway" }));
  expect(startWords(network)).toBe(
    "failed to set up container networking: unable to derive the IP value for host-gateway",
  );
  expect(started({ kind: "joined-has-ended", id: "c2" })).toEqual(["conflict", "container c2 is not running"]);
});

test("every method of a backend gives its answer, and fails in Docker's words", async () => {
  const backend = withDockersWords({
    add: async (one: number, two: number) => one + two,
    find: async (name: string): Promise<void> => {
      throw new ContainerProblem({ kind: "no-such-container", name });
    },
  });
  expect(await backend.add(1, 2)).toBe(3);
  await expect(backend.find("x")).rejects.toMatchObject({ code: "not-found", message: "No such container: x" });
});
