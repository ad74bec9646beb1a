/**
 * What a container is to be, in no terms of Docker: everything that its lifecycle and its steps look at. Who builds on this package (Docker's engine; later CRI and build steps) makes one, and
 * gives along an `extension` of its own, which comes back with the record untouched. What the process may do and see comes as an OCI configuration from the same
 * owner at each start (`ContainerTranslation` in contract.ts): it depends on the machine, the user's ids and the daemon's settings of that moment.
 */
import type { PortRequest } from "@fathom/network";
import type { HealthCheck } from "./health/health-check.ts";
import type { RestartPolicy } from "./lifecycle/restart-policy.ts";

/** A namespace of its own, the host's, or that of another container, named by its id or its name. */
export type NamespaceMode =
  | { readonly kind: "own" }
  | { readonly kind: "host" }
  | { readonly kind: "container"; readonly container: string };

export interface ContainerSpec {
  /** The first process has a terminal. */
  readonly terminal: boolean;
  /** Rows and columns of the terminal at first; 0 for none given. */
  readonly consoleSize: readonly [number, number];
  /** "once": stdin ends with the first client that was attached to it. */
  readonly stdin: "none" | "open" | "once";
  /** "" for the host's. */
  readonly hostname: string;
  readonly domainname: string;
  /** "none": a namespace of its own with nothing but lo. Networks of "own" are in the record. */
  readonly network: NamespaceMode | { readonly kind: "none" };
  readonly pid: NamespaceMode;
  /** "shareable": its own, which others may join. */
  readonly ipc: NamespaceMode | { readonly kind: "shareable" };
  /** Of /dev/shm, in bytes. */
  readonly sharedMemoryBytes: number;
  readonly ports: readonly PortRequest[];
  /** Empty lists: the daemon's own. */
  readonly dns: {
    readonly servers: readonly string[];
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
  /** "name:address"; the address may be "host-gateway". */
  readonly extraHosts: readonly string[];
  /** Host paths of devices, looked at before the start: their server may be away. */
  readonly devicePaths: readonly string[];
  /** An init process before the program; undefined: as the daemon does. */
  readonly init: boolean | undefined;
  readonly stop: {
    readonly signal: number;
    /** Seconds until SIGKILL, negative for ever; undefined: 10. */
    readonly timeoutSeconds: number | undefined;
  };
  readonly restart: RestartPolicy;
  readonly health: HealthCheck | undefined;
  /** It is removed with its anonymous volumes when it ends. */
  readonly removeOnExit: boolean;
}
