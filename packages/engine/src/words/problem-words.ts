/** Docker's words for errors of requests about containers. */
import type { ContainerProblem, JoinedNamespace, JoinObstacle, Problem } from "@fathom/containers";
import type { WriteRefusalReason } from "@fathom/sys";

export function problemWords({ problem }: ContainerProblem): string {
  switch (problem.kind) {
    case "no-such-container":
      return `No such container: ${problem.name}`;
    case "several-containers":
      return `multiple IDs found with provided prefix: ${problem.prefix}`;
    case "name-taken":
      return `Conflict. The container name "/${problem.name}" is already in use by container "${problem.holder}". You have to remove (or rename) that container to be able to reuse that name.`;
    case "not-removable":
      return `cannot remove container ${JSON.stringify(problem.name)}: container is ${removalHints[problem.state]}`;
    case "default-link":
      return "Conflict, cannot remove the default link name of the container";
    case "link-elsewhere":
      return `failed to set up container networking: Cannot link to /${problem.target}, as it does not belong to the default network`;
    case "link-not-running":
      return `Cannot link to a non running container: /${problem.target} AS ${problem.link}`;
    case "does-not-end":
      return `cannot stop container: ${problem.name}: tried to kill container, but did not receive an exit event`;
    case "no-such-exec":
      return `No such exec instance: ${problem.id}`;
    case "exec-ended":
      return `exec command ${problem.id} has already run`;
    case "exec-running":
      return `exec command ${problem.id} is already running`;
    case "exec-not-running":
      return `exec ${problem.id} is not running`;
    case "not-joinable":
      return joinWords(problem.namespace, problem.why);
    case "joined-has-ended":
      return `container ${problem.id} is not running`;
    case "log-not-readable":
      return "configured logging driver does not support reading";
    case "log-receiver-unreachable":
      return `failed to create task for container: failed to initialize logging driver: ${receiverWords(problem)}`;
    case "no-log-stream":
      return "must specify at least one of 'stdout' or 'stderr'";
    case "no-such-path":
      return `Could not find the file ${problem.path} in container ${problem.container}`;
    case "path-below-file":
      return `lstat ${problem.path.startsWith("/") ? "" : "/"}${problem.path}: not a directory`;
    case "empty-path":
      return "bad parameter: path cannot be empty";
    case "unsupported-ps-option":
      return `ps: unsupported option ${JSON.stringify(problem.option)}: -e, -f, -o LIST and the forms ef, aux and axo LIST are supported`;
    case "unknown-ps-column":
      return `ps: error: unknown user-defined format specifier ${JSON.stringify(problem.name)}`;
    case "no-pid-column":
      return "Couldn't find PID field in ps output";
    case "not-a-directory":
      return "extraction point is not a directory";
    case "read-only":
      return problem.where === "root" ? "container rootfs is marked read-only" : "mounted volume is marked read-only";
    case "not-written":
      return notWrittenWords(problem.reason, JSON.stringify(problem.path), JSON.stringify(problem.destination));
    case "no-such-signal":
      return problem.beyond
        ? `the linux daemon does not support signal ${Number(problem.text)}`
        : `invalid signal: ${problem.text}`;
    case "no-mount-source":
      return `invalid mount config for type "bind": bind source path does not exist: ${problem.path}`;
    case "mount-source-not-made":
      return `error while creating mount source path '${problem.path}': ${problem.reason}`;
    case "subpath-escapes":
      return `path concatenation escapes the base directory, base: ${problem.source}, subpath: ${problem.subpath}`;
    case "subpath-unusable":
      return `cannot access path ${problem.path}: ${problem.reason ?? "no such file or directory"}`;
    case "does-not-propagate":
      return `path ${problem.source} is mounted on ${problem.mountPoint} but it is not a ${problem.needed.join(" or ")} mount`;
    case "no-host-gateway":
      return "unable to derive the IP value for host-gateway";
  }
}

function notWrittenWords(reason: WriteRefusalReason, entry: string, destination: string): string {
  switch (reason) {
    case "directory-would-be-replaced":
      return `cannot overwrite directory ${entry} with non-directory ${destination}`;
    case "non-directory-would-be-replaced":
      return `cannot overwrite non-directory ${entry} with directory ${destination}`;
    case "leaves-the-destination":
      return `invalid entry name ${entry}: a symlink in its path leads out of ${destination}`;
    case "changed-meanwhile":
      return `cannot write ${entry} in ${destination}: the container changed it meanwhile; try again`;
  }
}

type Unreachable = Extract<Problem, { kind: "log-receiver-unreachable" }>;

/** As Go's net package says it. */
function receiverWords({ receiver, network, address, reason }: Unreachable): string {
  if (receiver === "journald") return "journald is not enabled on this host";
  if (network === "local") return "Unix syslog delivery error";
  const dial = `dial ${network} ${address}: ${dialReasons[reason] ?? reason}`;
  return receiver === "gelf" ? `gelf: cannot connect to GELF endpoint: ${address} ${dial}` : dial;
}

const dialReasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect: connection refused",
  ENOENT: "connect: no such file or directory",
  EACCES: "connect: permission denied",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  ECONNRESET: "read: connection reset by peer",
  ENOTFOUND: "no such host",
  EPROTOTYPE: "connect: protocol wrong type for socket",
};

const removalHints = {
  paused: "paused and must be unpaused first",
  running: "running: stop the container before removing or force remove",
  restarting: "restarting: stop the container before removing or force remove",
} as const;

/** Docker says it differently for each kind of namespace. */
function joinWords(namespace: JoinedNamespace, why: JoinObstacle): string {
  const network = namespace === "network";
  const prefix = namespace === "ipc" ? "failed to join IPC namespace: " : "";
  switch (why.kind) {
    case "not-found":
      return `${network ? "joining network namespace of container: " : prefix}${problemWords(why.reason)}`;
    case "itself":
      return `cannot join own ${namespace} namespace`;
    case "restarting":
      return `cannot join ${namespace} namespace of container: Container ${why.id} is restarting, wait until the container is running`;
    case "not-running":
      return network
        ? `cannot join network namespace of a non running container: container ${why.name} is ${why.status}`
        : `${prefix}container ${why.id} is not running`;
    case "not-shared":
      return `${prefix}container ${why.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`;
  }
}
