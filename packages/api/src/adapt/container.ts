/** Answers about containers in the form of older versions. The backend returns the newest form; each step below removes the changes of one version. */
import { shortId } from "@fathom/base";
import type { ContainerInspect, ContainerSummary, EndpointSettings } from "@fathom/spec";

const defaultNetworks = new Set(["default", "bridge", "host", "none"]);

export function adaptSummary(summary: ContainerSummary, version: number): object {
  if (version >= 52) return summary;
  const { Health: _health, ImageManifestDescriptor: descriptor, HostConfig: hostConfig, ...rest } = summary;
  const { Annotations: annotations, ...oldHostConfig } = hostConfig;
  return {
    ...rest,
    HostConfig: version >= 46 && annotations !== undefined ? hostConfig : oldHostConfig,
    ...(version >= 48 && descriptor !== undefined ? { ImageManifestDescriptor: descriptor } : {}),
  };
}

export function adaptInspect(inspect: ContainerInspect, version: number): object {
  if (version >= 52) return inspect;
  const { ImageManifestDescriptor: descriptor, ...rest } = inspect;
  const networks =
    version >= 45
      ? inspect.NetworkSettings.Networks
      : Object.fromEntries(
          Object.entries(inspect.NetworkSettings.Networks).map(([name, endpoint]) => [
            name,
            withIdAliases(name, endpoint, inspect),
          ]),
        );
  const bridge = networks["bridge"];
  return sorted({
    ...rest,
    // Before 1.52 the default bridge's values were also in NetworkSettings; programs read IPAddress there.
    NetworkSettings: {
      ...inspect.NetworkSettings,
      ...(bridge === undefined
        ? {}
        : {
            EndpointID: bridge.EndpointID,
            Gateway: bridge.Gateway,
            GlobalIPv6Address: bridge.GlobalIPv6Address,
            GlobalIPv6PrefixLen: bridge.GlobalIPv6PrefixLen,
            IPAddress: bridge.IPAddress,
            IPPrefixLen: bridge.IPPrefixLen,
            IPv6Gateway: bridge.IPv6Gateway,
            MacAddress: bridge.MacAddress,
          }),
      Networks: networks,
    },
    ...(version >= 48 && descriptor !== undefined ? { ImageManifestDescriptor: descriptor } : {}),
  }) as object;
}

/** Keys in alphabetical order at every level, as in Docker's adapted answers: clients print the answer unchanged. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

/** Before 1.45 Aliases also had the short id and the host name. */
function withIdAliases(name: string, endpoint: EndpointSettings, inspect: ContainerInspect): EndpointSettings {
  if (defaultNetworks.has(name) || name.startsWith("container:")) return endpoint;
  const aliases = new Set([...(endpoint.Aliases ?? []), shortId(inspect.Id), inspect.Config.Hostname]);
  return { ...endpoint, Aliases: [...aliases] };
}
