/** Bodies of the container endpoints. */
import { EngineError } from "@fathom/base";
import type { ContainerConfig, HealthConfig } from "../container-config.ts";
import type { ContainerCreateRequest, ContainerUpdateRequest } from "../container.ts";
import type { ExecCreateRequest, ExecStartRequest } from "../exec.ts";
import type { Resources } from "../host-config.ts";
import { portKey } from "./addresses.ts";
import { embeddedResources, hostConfig, resourceFields, restartPolicy } from "./host-config.ts";
import { endpointSettings } from "./network.ts";
import { decodeBody, isObject, type Decoder, type Fields } from "../../decode/decoder.ts";
import {
  array,
  bool,
  emptyObject,
  int,
  int64,
  map,
  named,
  nullable,
  optional,
  pair,
  string,
  struct,
  uint,
  whole,
  type GoDecoder,
} from "../../decode/go.ts";

const strings = nullable(array(string));
const optionalStrings = optional(array(string));
const stringMap = map(string);
const duration = named("time.Duration", int64);

const healthFields = struct<HealthConfig>("container.HealthConfig", {
  Test: optionalStrings,
  Interval: optional(duration),
  Timeout: optional(duration),
  StartPeriod: optional(duration),
  StartInterval: optional(duration),
  Retries: optional(int),
});

/** Zero means the same as absent; both are printed as absent. */
const healthConfig: GoDecoder<HealthConfig> = {
  type: healthFields.type,
  zero: undefined,
  decode: (value, path) =>
    Object.fromEntries(
      Object.entries(healthFields.decode(value, path)).filter(
        ([, entry]) => entry !== 0 && !(Array.isArray(entry) && entry.length === 0),
      ),
    ),
};

const configFields = {
  Hostname: string,
  Domainname: string,
  User: string,
  AttachStdin: bool,
  AttachStdout: bool,
  AttachStderr: bool,
  ExposedPorts: optional(named("network.PortSet", map(emptyObject, portKey))),
  Tty: bool,
  OpenStdin: bool,
  StdinOnce: bool,
  Env: strings,
  Cmd: strings,
  Healthcheck: optional(healthConfig),
  ArgsEscaped: optional(bool),
  Image: string,
  Volumes: nullable(map(emptyObject)),
  WorkingDir: string,
  Entrypoint: strings,
  NetworkDisabled: optional(bool),
  OnBuild: optionalStrings,
  Labels: nullable(stringMap),
  StopSignal: optional(string),
  StopTimeout: optional(int),
  Shell: optionalStrings,
  MacAddress: optional(string),
};

const embeddedConfig = { name: "Config", fields: configFields };

const containerConfig = struct<ContainerConfig>("container.commitRequest", configFields, embeddedConfig);

const networkingConfig = struct<ContainerCreateRequest["NetworkingConfig"]>("network.NetworkingConfig", {
  EndpointsConfig: { ...named("map[string]*network.EndpointSettings", map(endpointSettings)), zero: {} },
});

const createRequest = struct<ContainerCreateRequest>(
  "container.CreateRequest",
  {
    ...configFields,
    HostConfig: whole(hostConfig),
    NetworkingConfig: whole(networkingConfig),
  },
  embeddedConfig,
);

/** The names of ContainerConfig in lower case. A body without any of them has no configuration. */
const configNames = new Set(Object.keys(configFields).map((name) => name.toLowerCase()));

function namesConfig(document: unknown): boolean {
  return isObject(document) && Object.keys(document).some((key) => configNames.has(key.toLowerCase()));
}

/** @throws invalid-argument */
export function decodeContainerCreate(document: unknown): ContainerCreateRequest {
  const request = decodeBody(createRequest, document);
  if (!namesConfig(document))
    throw new EngineError("invalid-argument", "config cannot be empty in order to create a container");
  return request;
}

/** The configuration that a commit may contain; undefined when the body has none. @throws invalid-argument */
export function decodeCommitConfig(document: unknown): ContainerConfig | undefined {
  const config = decodeBody(containerConfig, document);
  return namesConfig(document) ? config : undefined;
}

const updateRequest = struct<ContainerUpdateRequest>(
  "container.UpdateConfig",
  {
    ...(Object.fromEntries(
      Object.entries<Decoder<unknown>>(resourceFields).map(([name, field]) => [name, { ...field, zero: undefined }]),
    ) as Fields<Partial<Resources>>),
    RestartPolicy: optional(restartPolicy),
  },
  embeddedResources,
);

/** Only the fields that the client sent. @throws invalid-argument */
export function decodeContainerUpdate(document: unknown): ContainerUpdateRequest {
  return decodeBody(updateRequest, document);
}

const execCreate = struct<ExecCreateRequest>("container.ExecCreateRequest", {
  User: string,
  Privileged: bool,
  Tty: bool,
  ConsoleSize: optional(pair(uint)),
  AttachStdin: bool,
  AttachStderr: bool,
  AttachStdout: bool,
  DetachKeys: string,
  Env: strings,
  WorkingDir: string,
  Cmd: strings,
});

/** @throws invalid-argument */
export function decodeExecCreate(document: unknown): ExecCreateRequest {
  return decodeBody(execCreate, document);
}

const execStart = struct<ExecStartRequest>("container.ExecStartRequest", {
  Detach: bool,
  Tty: bool,
  ConsoleSize: optional(pair(uint)),
});

/** @throws invalid-argument */
export function decodeExecStart(document: unknown): ExecStartRequest {
  return decodeBody(execStart, document);
}
