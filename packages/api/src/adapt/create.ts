/** Requests of an older version about the settings of a container; a create request is, converted to the newest form, with the warnings that Docker gives for it. */
import { EngineError } from "@fathom/base";
import type { CreateRules } from "@fathom/engine";
import type { ContainerCreateRequest, ContainerUpdateRequest, HostConfig, Mount, PortBinding } from "@fathom/spec";

export interface AdaptedCreate {
  readonly body: ContainerCreateRequest;
  readonly rules: CreateRules;
  readonly warnings: readonly string[];
}

/** @throws invalid-argument for something that a version does not allow, in Docker's words */
export function adaptCreate(body: ContainerCreateRequest, version: number): AdaptedCreate {
  const warnings: string[] = [];
  const host = body.HostConfig;
  const endpoints = adaptEndpoints(body, version);
  const adapted: ContainerCreateRequest = {
    ...body,
    ...(version < 44 && body.Healthcheck ? { Healthcheck: { ...body.Healthcheck, StartInterval: 0 } } : {}),
    HostConfig: {
      ...withoutAnnotations(host, version),
      ...(host.Mounts ? { Mounts: host.Mounts.map((mount) => adaptMount(mount, version)) } : {}),
      ...(version < 42 ? { ConsoleSize: [0, 0] as const } : {}),
      ...(host.PortBindings === null ? {} : { PortBindings: fillBindings(host.PortBindings, version, warnings) }),
      // 0 and every negative number mean "no limit".
      PidsLimit: host.PidsLimit !== null && host.PidsLimit > 0 ? host.PidsLimit : null,
    },
    NetworkingConfig: { EndpointsConfig: endpoints },
  };
  if (body.MacAddress) {
    if (version >= 52)
      throw new EngineError(
        "invalid-argument",
        "container-wide MAC address no longer supported; use endpoint-specific MAC address instead",
      );
    warnings.push(
      "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.",
    );
  }
  return { body: adapted, rules: { shallowReadOnlyBinds: version < 44 }, warnings };
}

/** Before 1.55, an update could not change the limits of block devices: they are ignored. */
export function adaptUpdate(body: ContainerUpdateRequest, version: number): ContainerUpdateRequest {
  if (version >= 55) return body;
  const {
    BlkioWeightDevice: _weights,
    BlkioDeviceReadBps: _readBytes,
    BlkioDeviceWriteBps: _writeBytes,
    BlkioDeviceReadIOps: _reads,
    BlkioDeviceWriteIOps: _writes,
    ...rest
  } = body;
  return rest;
}

function withoutAnnotations(host: HostConfig, version: number): HostConfig {
  if (version >= 43) return host;
  const { Annotations: _annotations, ...rest } = host;
  return rest;
}

function adaptEndpoints(
  body: ContainerCreateRequest,
  version: number,
): ContainerCreateRequest["NetworkingConfig"]["EndpointsConfig"] {
  const endpoints = body.NetworkingConfig.EndpointsConfig;
  const names = Object.keys(endpoints);
  if (version < 44 && names.length > 1)
    throw new EngineError(
      "invalid-argument",
      `Container cannot be created with multiple network endpoints: ${names.join(", ")}`,
    );
  if (version >= 48) return endpoints;
  return Object.fromEntries(
    Object.entries(endpoints).map(([name, endpoint]) => [name, { ...endpoint, GwPriority: 0 }]),
  );
}

function adaptMount(mount: Mount, version: number): Mount {
  const { Type: type = "" } = mount;
  if (version < 44 && type === "bind" && mount.BindOptions?.ReadOnlyForceRecursive)
    throw new EngineError("invalid-argument", "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
  if (version < 45 && mount.VolumeOptions?.Subpath)
    throw new EngineError("invalid-argument", "VolumeOptions.Subpath needs API v1.45 or newer");
  if (version < 48 && type === "image")
    throw new EngineError("invalid-argument", 'Mount type "Image" needs API v1.48 or newer');
  const misplaced = (["BindOptions", "VolumeOptions", "TmpfsOptions"] as const).filter(
    (name) => mount[name] && type !== name.replace("Options", "").toLowerCase(),
  );
  if (misplaced.length === 0)
    return version < 42 && mount.BindOptions
      ? { ...mount, BindOptions: { ...mount.BindOptions, CreateMountpoint: false } }
      : mount;
  if (version >= 42)
    throw new EngineError(
      "invalid-argument",
      `${misplaced[0]} must not be specified on mount type ${JSON.stringify(type)}`,
    );
  // Before 1.42 nobody checked.
  const fitting: Mount = { ...mount };
  for (const name of misplaced) delete fitting[name];
  return fitting;
}

/** An empty list has always meant one binding to a free port; in a future version it will mean none. */
function fillBindings(
  bindings: NonNullable<HostConfig["PortBindings"]>,
  version: number,
  warnings: string[],
): Record<string, readonly PortBinding[]> {
  const empty: string[] = [];
  const filled: Record<string, readonly PortBinding[]> = {};
  for (const [port, list] of Object.entries(bindings)) {
    if (list === null || list.length === 0) {
      empty.push(port);
      filled[port] = [{ HostIp: "", HostPort: "" }];
    } else filled[port] = list;
  }
  if (version >= 52 && empty.length > 0)
    warnings.push(
      `Following container port(s) have an empty list of port-bindings: ${empty.join(", ")}. Such bindings will be discarded in a future version.`,
    );
  return filled;
}
