/**
 * The decoder for records in rows and descriptions. A value of the wrong type is an error. Earlier versions did not write every member: if a
 * missing member has a zero value, the record gets the zero value.
 */
import { EngineError, messageOf } from "@fathom/base";
import { readEndpoint, type Endpoint, type PortRequest } from "@fathom/network";
import {
  anything,
  boolean,
  decodedChainId,
  decodedDigest,
  exact,
  isObject,
  list,
  number,
  oneOf,
  optional,
  orElse,
  record,
  refused,
  text,
  wholeNumber,
  type Decoder,
  type Digest,
} from "@fathom/spec";
import type { ContainerSpec, NamespaceMode } from "../container-spec.ts";
import { decodedHealth } from "../health/stored-health.ts";
import type { HealthCheck } from "../health/health-check.ts";
import type { RestartPolicy } from "../lifecycle/ends/restart-policy.ts";
import type { ContainerLink, ContainerRecord, ContainerState, MountPoint, NetworkAttachment } from "../record.ts";

/** A record as it is stored: without a spec when its owner derives the spec from the extension. */
export type StoredRecord = Omit<ContainerRecord, "spec"> & { readonly spec: ContainerSpec | undefined };

const word = orElse(text, "");
const words: Decoder<readonly string[]> = orElse(list(text), []);
const flag = orElse(boolean, false);
const count = orElse(number, 0);

const imageId: Decoder<Digest | ""> = {
  zero: "",
  missing: "absent or null",
  decode: (value, path) => (value === "" ? value : decodedDigest.decode(value, path)),
};

const image = exact<NonNullable<MountPoint["image"]>>({ reference: text, id: text, layer: text });

const mount = exact<MountPoint>({
  type: oneOf(["bind", "volume", "tmpfs", "image"]),
  name: optional(text),
  source: word,
  destination: text,
  driver: optional(text),
  mode: word,
  readWrite: flag,
  propagation: word,
  copyData: flag,
  subpath: word,
  image: optional(image),
  createSource: flag,
  nonRecursive: flag,
  readOnlyNonRecursive: flag,
  readOnlyForceRecursive: flag,
  tmpfsOptions: words,
  anonymous: flag,
});

/** Also reads endpoints of an earlier version, which had only one IPv4 address. */
const endpoint: Decoder<Endpoint> = {
  zero: undefined,
  decode(value, path) {
    try {
      return readEndpoint(value);
    } catch (error) {
      if (error instanceof EngineError) throw refused(path, messageOf(error));
      throw error;
    }
  },
};

/** null stays null: the user set nothing. */
function orNull<T>(inner: Decoder<T>): Decoder<T | null> {
  return {
    zero: null,
    missing: "absent",
    decode: (value, path) => (value === null ? null : inner.decode(value, path)),
  };
}

export const decodedNetworks: Decoder<NetworkAttachment[]> = list(
  exact<NetworkAttachment>({
    network: text,
    ipv4Address: optional(text),
    ipv6Address: optional(text),
    linkLocalAddresses: optional(list(text)),
    macAddress: optional(text),
    aliases: orNull(list(text)),
    links: orNull(list(text)),
    driverOptions: orNull(record(text)),
    gatewayPriority: count,
    endpoint: optional(endpoint),
    networkId: word,
  }),
);

const state = exact<ContainerState>({
  status: oneOf(["created", "running", "paused", "restarting", "removing", "exited", "dead"]),
  pid: count,
  exitCode: count,
  error: word,
  oomKilled: flag,
  startedAt: word,
  finishedAt: word,
});

/** A value with a `kind`. A value of the kind "container" also has the other container. */
function namespaceMode<K extends string>(kinds: readonly K[]): Decoder<NamespaceMode | { readonly kind: K }> {
  const alone = exact<{ readonly kind: K | "own" | "host" }>({ kind: oneOf([...kinds, "own", "host"]) });
  const joined = exact<{ readonly kind: "container"; readonly container: string }>({
    kind: oneOf(["container"]),
    container: text,
  });
  return {
    zero: undefined,
    decode(value, path) {
      if (isObject(value) && value["kind"] === "container") return joined.decode(value, path);
      const { kind } = alone.decode(value, path);
      const other = kinds.find((one) => one === kind);
      if (other !== undefined) return { kind: other };
      const usual: NamespaceMode = { kind: kind === "host" ? "host" : "own" };
      return usual;
    },
  };
}

const port = exact<PortRequest>({
  protocol: oneOf(["tcp", "udp", "sctp"]),
  containerPort: wholeNumber,
  hostIp: text,
  hostPortFirst: wholeNumber,
  hostPortLast: wholeNumber,
});

const consoleSize: Decoder<readonly [number, number]> = {
  zero: [0, 0],
  missing: "absent",
  decode(value, path) {
    const [rows = 0, columns = 0] = list(wholeNumber, 2).decode(value, path);
    return [rows, columns];
  },
};

const spec = exact<ContainerSpec>({
  terminal: flag,
  consoleSize,
  stdin: orElse(oneOf(["none", "open", "once"]), "none"),
  hostname: word,
  domainname: word,
  network: namespaceMode(["none"]),
  pid: namespaceMode([]),
  ipc: namespaceMode(["shareable"]),
  sharedMemoryBytes: count,
  ports: orElse<PortRequest[]>(list(port), []),
  dns: exact<ContainerSpec["dns"]>({ servers: words, search: words, options: words }),
  extraHosts: words,
  devicePaths: words,
  init: optional(boolean),
  stop: exact<ContainerSpec["stop"]>({ signal: wholeNumber, timeoutSeconds: optional(number) }),
  restart: exact<RestartPolicy>({
    kind: oneOf(["no", "always", "on-failure", "unless-stopped"]),
    maximumRetryCount: count,
  }),
  health: optional(
    exact<HealthCheck>({
      command: list(text),
      intervalMs: number,
      timeoutMs: number,
      startPeriodMs: number,
      startIntervalMs: number,
      retries: wholeNumber,
    }),
  ),
  removeOnExit: flag,
});

export const decodedRecord = exact<StoredRecord>({
  id: text,
  name: text,
  createdAt: word,
  imageId,
  topLayer: optional(decodedChainId),
  path: word,
  arguments: words,
  spec: optional(spec),
  extension: anything,
  mounts: list(mount),
  networks: decodedNetworks,
  links: optional(list(exact<ContainerLink>({ container: text, alias: text }))),
  cgroupPath: word,
  state,
  restartCount: count,
  restartDelayMs: count,
  stoppedByUser: flag,
  health: decodedHealth,
  pending: optional(oneOf(["creating", "removing", "removing-with-volumes"])),
});
