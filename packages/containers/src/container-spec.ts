/**
 * What a container should be, without any term of Docker: everything that its lifecycle and its steps read. Code that builds on this package
 * (Docker's engine; later CRI and build steps) makes a spec. It also passes an `extension` of its own, which comes back with the record
 * unchanged. The same owner makes an OCI configuration at each start, which says what the process may do and see (`ContainerTranslation` in
 * contract.ts): it depends on the machine, the user's ids and the daemon's settings at that moment.
 */
import type { PortRequest } from "@fathom/network";
import type { HealthCheck } from "./health/health-check.ts";
import type { RestartPolicy } from "./lifecycle/ends/restart-policy.ts";

/** A namespace of its own, the host's namespace, or the namespace of another container (by id or name). */
export type NamespaceMode =
  | { readonly kind: "own" }
  | { readonly kind: "host" }
  | { readonly kind: "container"; readonly container: string };

export interface ContainerSpec {
  /** The first process has a terminal. */
  readonly terminal: boolean;
  /** First rows and columns of the terminal; 0 when none are given. */
  readonly consoleSize: readonly [number, number];
  /** "once": stdin ends when the first client that was attached to it leaves. */
  readonly stdin: "none" | "open" | "once";
  /** "" for the host's name. */
  readonly hostname: string;
  readonly domainname: string;
  /** "none": a namespace of its own that has only lo. The networks of "own" are in the record. */
  readonly network: NamespaceMode | { readonly kind: "none" };
  readonly pid: NamespaceMode;
  /** "shareable": a namespace of its own that other containers may join. */
  readonly ipc: NamespaceMode | { readonly kind: "shareable" };
  /** Of /dev/shm, in bytes. */
  readonly sharedMemoryBytes: number;
  readonly ports: readonly PortRequest[];
  /** Empty lists: the daemon's own settings. */
  readonly dns: {
    readonly servers: readonly string[];
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
  /** "name:address"; the address may be "host-gateway". */
  readonly extraHosts: readonly string[];
  /** Host paths of devices. They are checked before the start, because their server may not answer. */
  readonly devicePaths: readonly string[];
  /** An init process before the program; undefined: the daemon's default. */
  readonly init: boolean | undefined;
  readonly stop: {
    readonly signal: number;
    /** Seconds until SIGKILL; negative: wait for ever; undefined: 10. */
    readonly timeoutSeconds: number | undefined;
  };
  readonly restart: RestartPolicy;
  readonly health: HealthCheck | undefined;
  /** The container is removed with its anonymous volumes when it ends. */
  readonly removeOnExit: boolean;
}
