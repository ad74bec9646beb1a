/** The plan of an additional process in a running container. */
import type { LinuxSeccomp, OciProcess, OciSpec } from "@fathom/spec";
import type { LaunchPlan, NamespaceKind, Operation } from "../plan/plan.ts";
import type { SeccompArchitecture } from "../seccomp/compile.ts";
import { processOperations } from "./process.ts";
import { affinityOperations } from "./scheduling.ts";
import { deepFreeze, hostArchitecture, terminalOf, type TerminalSize } from "./whole-plan.ts";

export interface CompileExecOptions {
  readonly console?: TerminalSize;
  /** The container's own filter: an exec must not avoid it. */
  readonly seccomp?: LinuxSeccomp;
  readonly personality?: NonNullable<OciSpec["linux"]>["personality"];
  readonly keyring?: string;
  readonly architecture?: SeccompArchitecture;
}

/** The plan of an additional process in a running container. The supervisor has joined its namespaces and cgroups before. */
export function compileExec(process: OciProcess, options: CompileExecOptions = {}): LaunchPlan {
  const operations: Operation[] = [];
  operations.push(...affinityOperations(process));
  if (options.keyring !== undefined) operations.push({ kind: "session-keyring", name: options.keyring });
  operations.push({ kind: "new-session" });
  operations.push(
    ...processOperations(process, {
      init: false,
      waitForStart: false,
      afterStart: [],
      architecture: options.architecture ?? hostArchitecture(),
      ...(options.seccomp === undefined ? {} : { seccomp: options.seccomp }),
      ...(options.personality ? { personality: options.personality } : {}),
    }),
  );
  return deepFreeze({
    version: 1,
    stem: { newNamespaces: [], cgroupProcs: [] },
    operations,
    terminal: terminalOf(process, options.console),
  });
}

/** Where the process of `compileExec` runs when no supervisor makes it. */
export interface JoinedPlace {
  /** Those of the container that differ from the caller's. */
  readonly namespaces: readonly NamespaceKind[];
  /** Path of a namespace file, when the pid namespace differs, too. */
  readonly pidNamespace?: string;
  readonly cgroupProcs: readonly string[];
}

/** `plan` of `compileExec`, for `PreparedStem.launchDirect` with a descriptor of the container's process as `rootFd`. */
export function joinContainer(plan: LaunchPlan, place: JoinedPlace): LaunchPlan {
  return deepFreeze({
    ...plan,
    stem: {
      newNamespaces: [],
      cgroupProcs: [...place.cgroupProcs],
      ...(place.pidNamespace === undefined ? {} : { joinPidNamespace: place.pidNamespace }),
    },
    operations: [{ kind: "join-process", namespaces: [...place.namespaces] }, ...plan.operations],
  });
}
