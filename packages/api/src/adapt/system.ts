/** Answers about the daemon in the form of older versions. */
import type { DiskUsage, EventMessage, SystemInfo, UsageOf } from "@fathom/spec";
import { adaptSummary } from "./container.ts";
import { adaptImageSummary } from "./image.ts";

export function adaptInfo(info: SystemInfo, version: number): object {
  if (version >= 50) return info;
  const { FirewallBackend: firewall, ...rest } = info;
  return {
    ...rest,
    ...(version >= 49 && firewall !== undefined ? { FirewallBackend: firewall } : {}),
    BridgeNfIptables: false,
    BridgeNfIp6tables: false,
    ...(version < 49
      ? {
          ContainerdCommit: { ...info.ContainerdCommit, Expected: info.ContainerdCommit.ID },
          RuncCommit: { ...info.RuncCommit, Expected: info.RuncCommit.ID },
          InitCommit: { ...info.InitCommit, Expected: info.InitCommit.ID },
        }
      : {}),
    ...(version < 47
      ? {
          RegistryConfig: {
            ...info.RegistryConfig,
            AllowNondistributableArtifactsCIDRs: null,
            AllowNondistributableArtifactsHostnames: null,
          },
        }
      : {}),
  };
}

/** One event as a line; undefined for an event that this version does not know. */
export function formatEvent(event: EventMessage, version: number): string | undefined {
  if (version < 46 && event.Type === "image" && event.Action === "create") return undefined;
  const { timeNano, status, id, from, ...current } = event;
  const fields =
    version >= 52
      ? current
      : {
          ...(status === undefined ? {} : { status }),
          ...(id === undefined ? {} : { id }),
          ...(from === undefined ? {} : { from }),
          ...current,
        };
  // A JSON number with all its digits, which JSON.stringify cannot write.
  return `${JSON.stringify(fields).slice(0, -1)},"timeNano":${timeNano}}\n`;
}

/** The old lists, the new sums, or both: a client that sends "verbose" knows the new form. */
export function adaptDiskUsage(usage: DiskUsage, version: number, verbose: boolean): object {
  const legacy =
    version >= 52 && verbose
      ? {}
      : {
          ...(usage.ImageUsage === undefined
            ? {}
            : {
                LayersSize: usage.ImageUsage.TotalSize,
                // `df` counts uses in all versions.
                Images: usage.ImageUsage.Items.map((image) => ({
                  ...adaptImageSummary(image, version),
                  Containers: image.Containers,
                })),
              }),
          ...(usage.ContainerUsage === undefined
            ? {}
            : { Containers: usage.ContainerUsage.Items.map((container) => adaptSummary(container, version)) }),
          ...(usage.VolumeUsage === undefined ? {} : { Volumes: usage.VolumeUsage.Items }),
          ...(usage.BuildCacheUsage === undefined ? {} : { BuildCache: usage.BuildCacheUsage.Items }),
        };
  if (version < 52) return legacy;
  return {
    ...legacy,
    ...part("ImageUsage", usage.ImageUsage, verbose),
    ...part("ContainerUsage", usage.ContainerUsage, verbose),
    ...part("VolumeUsage", usage.VolumeUsage, verbose),
    ...part("BuildCacheUsage", usage.BuildCacheUsage, verbose),
  };
}

function part(name: string, usage: UsageOf<unknown> | undefined, verbose: boolean): object {
  if (usage === undefined) return {};
  const { Items: items, ...sums } = usage;
  return { [name]: verbose ? { ...sums, Items: items } : sums };
}
