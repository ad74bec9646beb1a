/** Errors of requests about containers, as values. The message is plain English, for logs and callers without words of their own. */
import { EngineError, type ErrorCode } from "@fathom/base";
import type { WriteRefusalReason } from "@fathom/sys";

export type Problem =
  /** No container has this name, id or prefix of an id. */
  | { readonly kind: "no-such-container"; readonly name: string }
  /** Several containers have ids that begin with this. */
  | { readonly kind: "several-containers"; readonly prefix: string }
  | { readonly kind: "name-taken"; readonly name: string; readonly holder: string }
  | { readonly kind: "not-removable"; readonly name: string; readonly state: "paused" | "running" | "restarting" }
  /** The name is the container's own, not that of a link to it. */
  | { readonly kind: "default-link"; readonly name: string }
  /** The target of a link is not in the default network. */
  | { readonly kind: "link-elsewhere"; readonly target: string }
  /** `link`: "/web/db". */
  | { readonly kind: "link-not-running"; readonly target: string; readonly link: string }
  /** Its processes were killed, and it did not end in time. */
  | { readonly kind: "does-not-end"; readonly name: string }
  | { readonly kind: "no-such-exec"; readonly id: string }
  /** The exec cannot be started, because it runs or has ended; or it cannot be resized, because it does not run. */
  | { readonly kind: "exec-ended" | "exec-running" | "exec-not-running"; readonly id: string }
  | { readonly kind: "not-joinable"; readonly namespace: JoinedNamespace; readonly why: JoinObstacle }
  /** The container whose namespaces are joined has ended during the start. */
  | { readonly kind: "joined-has-ended"; readonly id: string }
  /** Its log driver keeps no log that the engine can read. */
  | { readonly kind: "log-not-readable"; readonly id: string }
  /** `network` and `address` as Go names them; `reason`: an errno's name or a message. */
  | {
      readonly kind: "log-receiver-unreachable";
      readonly receiver: "syslog" | "gelf" | "fluentd" | "journald";
      readonly network: string;
      readonly address: string;
      readonly reason: string;
    }
  /** Neither stdout nor stderr of the log is requested. */
  | { readonly kind: "no-log-stream" }
  | { readonly kind: "no-such-path"; readonly path: string; readonly container: string }
  /** A part of the path is a file, and more follows: "/etc/passwd/". */
  | { readonly kind: "path-below-file"; readonly path: string }
  | { readonly kind: "empty-path" }
  /** Arguments for ps(1), of which only a part is supported. */
  | { readonly kind: "unsupported-ps-option"; readonly option: string }
  | { readonly kind: "unknown-ps-column"; readonly name: string }
  | { readonly kind: "no-pid-column" }
  /** An archive can only be unpacked in a directory. */
  | { readonly kind: "not-a-directory"; readonly path: string }
  | { readonly kind: "read-only"; readonly path: string; readonly where: "root" | "mount" }
  /** An entry of an archive. */
  | {
      readonly kind: "not-written";
      readonly reason: WriteRefusalReason;
      readonly path: string;
      readonly destination: string;
    }
  /** Linux has no such signal. `beyond`: it is a number, and greater than that of every signal. */
  | { readonly kind: "no-such-signal"; readonly text: string; readonly beyond: boolean }
  /** The source of a mount does not exist, and nobody asked to make it. */
  | { readonly kind: "no-mount-source"; readonly path: string }
  | { readonly kind: "mount-source-not-made"; readonly path: string; readonly reason: string }
  | { readonly kind: "subpath-escapes"; readonly source: string; readonly subpath: string }
  /** Without a reason: it does not exist. */
  | { readonly kind: "subpath-unusable"; readonly path: string; readonly reason: string | undefined }
  /** A mount should propagate, but the mount of its source (at `mountPoint`) has none of the propagations that this needs. */
  | {
      readonly kind: "does-not-propagate";
      readonly source: string;
      readonly mountPoint: string;
      readonly needed: readonly ("shared" | "slave")[];
    }
  /** A container asks for the address of the host's gateway, and there is none. */
  | { readonly kind: "no-host-gateway" };

export type JoinedNamespace = "network" | "pid" | "ipc";

export type JoinObstacle =
  /** The other container was not found; `reason` says why. */
  | { readonly kind: "not-found"; readonly reason: ContainerProblem }
  | { readonly kind: "itself" }
  | { readonly kind: "restarting" | "not-shared"; readonly id: string }
  | { readonly kind: "not-running"; readonly id: string; readonly name: string; readonly status: string };

export class ContainerProblem extends EngineError {
  readonly problem: Problem;

  constructor(problem: Problem, options?: { cause?: unknown }) {
    super(codeOf(problem), describe(problem), options);
    this.name = "ContainerProblem";
    this.problem = problem;
  }
}

function codeOf(problem: Problem): ErrorCode {
  switch (problem.kind) {
    case "no-such-container":
    case "no-such-exec":
    case "no-such-path":
      return "not-found";
    case "several-containers":
    case "no-log-stream":
    case "not-a-directory":
    case "empty-path":
    case "unsupported-ps-option":
    case "unknown-ps-column":
    case "no-pid-column":
    case "read-only":
    case "no-such-signal":
    case "no-mount-source":
    case "mount-source-not-made":
    case "subpath-escapes":
    case "subpath-unusable":
    case "does-not-propagate":
    case "no-host-gateway":
      return "invalid-argument";
    case "name-taken":
    case "not-removable":
    case "default-link":
    case "link-elsewhere":
    case "link-not-running":
    case "exec-ended":
    case "exec-running":
    case "exec-not-running":
    case "joined-has-ended":
      return "conflict";
    case "not-joinable":
      // As in Docker: a failure to join another namespace than the network is the engine's, also when the other container is the reason.
      return problem.namespace === "network" ? "conflict" : "internal";
    case "does-not-end":
      return "timeout";
    case "log-receiver-unreachable":
      return "internal";
    case "log-not-readable":
      return "not-implemented";
    case "path-below-file":
    case "not-written":
      return "internal";
  }
}

function describe(problem: Problem): string {
  switch (problem.kind) {
    case "no-such-container":
      return `no container has the name or id ${JSON.stringify(problem.name)}`;
    case "several-containers":
      return `several containers have ids that begin with ${problem.prefix}`;
    case "name-taken":
      return `container ${problem.holder} has the name ${JSON.stringify(problem.name)}`;
    case "not-removable":
      return `container ${JSON.stringify(problem.name)} is ${problem.state} and cannot be removed`;
    case "default-link":
      return `${JSON.stringify(problem.name)} is a container's own name: it is not a link that can be removed`;
    case "link-elsewhere":
      return `cannot link to container ${JSON.stringify(problem.target)}: it is not in the default network`;
    case "link-not-running":
      return `cannot link to container ${JSON.stringify(problem.target)} as ${problem.link}: it does not run`;
    case "does-not-end":
      return `container ${JSON.stringify(problem.name)} was killed, but it did not end in time`;
    case "no-such-exec":
      return `no exec has the id ${JSON.stringify(problem.id)}`;
    case "exec-ended":
      return `exec ${problem.id} has ended`;
    case "exec-running":
      return `exec ${problem.id} is running`;
    case "exec-not-running":
      return `exec ${problem.id} is not running`;
    case "not-joinable":
      return `cannot join the ${problem.namespace} namespace of a container: ${describeObstacle(problem.why)}`;
    case "joined-has-ended":
      return `container ${problem.id} is not running`;
    case "log-not-readable":
      return `the log of container ${problem.id} cannot be read: its log driver keeps no readable log`;
    case "log-receiver-unreachable":
      return `the ${problem.receiver} receiver at ${problem.network} ${problem.address} cannot be reached: ${problem.reason}`;
    case "no-log-stream":
      return "neither stdout nor stderr of the log is requested";
    case "no-such-path":
      return `container ${JSON.stringify(problem.container)} has no file ${JSON.stringify(problem.path)}`;
    case "path-below-file":
      return `a part of ${JSON.stringify(problem.path)} is no directory`;
    case "empty-path":
      return "the path is empty";
    case "unsupported-ps-option":
      return `the option ${JSON.stringify(problem.option)} of ps is not supported`;
    case "unknown-ps-column":
      return `ps has no column ${JSON.stringify(problem.name)}`;
    case "no-pid-column":
      return "the columns of ps do not include the PID";
    case "not-a-directory":
      return `${problem.path} is not a directory`;
    case "read-only":
      return `${problem.path} is on a read-only ${problem.where}`;
    case "not-written":
      return `cannot write ${JSON.stringify(problem.path)} in ${problem.destination}: ${problem.reason}`;
    case "no-such-signal":
      return `invalid signal: ${problem.text}`;
    case "no-mount-source":
      return `the source ${problem.path} of a mount does not exist`;
    case "mount-source-not-made":
      return `cannot make the source ${problem.path} of a mount: ${problem.reason}`;
    case "subpath-escapes":
      return `the path ${problem.subpath} leads out of ${problem.source}`;
    case "subpath-unusable":
      return `cannot use the path ${problem.path}: ${problem.reason ?? "it does not exist"}`;
    case "does-not-propagate":
      return `the mount at ${problem.mountPoint}, which has ${problem.source}, is not ${problem.needed.join(" or ")}`;
    case "no-host-gateway":
      return "the host's gateway has no known address";
  }
}

function describeObstacle(why: JoinObstacle): string {
  switch (why.kind) {
    case "not-found":
      return why.reason.message;
    case "itself":
      return "the container cannot join its own";
    case "restarting":
      return `container ${why.id} is restarting`;
    case "not-shared":
      return `container ${why.id} does not share it`;
    case "not-running":
      return `container ${why.id} is not running`;
  }
}
