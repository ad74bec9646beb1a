/** The media types of OCI image-spec 1.1 and Docker schema 2 that the engine reads, and their meaning. */

export const mediaTypes = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerLayerZstd: "application/vnd.docker.image.rootfs.diff.tar.zstd",
  dockerSchema1: "application/vnd.docker.distribution.manifest.v1+json",
  dockerSchema1Signed: "application/vnd.docker.distribution.manifest.v1+prettyjws",
} as const;

/** In the order of preference, for the Accept header of a manifest request. */
export const acceptedManifests: readonly string[] = [
  mediaTypes.ociIndex,
  mediaTypes.dockerList,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
];

export function isIndexType(type: string): boolean {
  return type === mediaTypes.ociIndex || type === mediaTypes.dockerList;
}

export function isManifestType(type: string): boolean {
  return type === mediaTypes.ociManifest || type === mediaTypes.dockerManifest;
}

export function isSchema1Type(type: string): boolean {
  return type === mediaTypes.dockerSchema1 || type === mediaTypes.dockerSchema1Signed;
}

export function isConfigType(type: string): boolean {
  return type === mediaTypes.ociConfig || type === mediaTypes.dockerConfig;
}

export type LayerCompression = "none" | "gzip" | "zstd";

const layers: ReadonlyMap<string, LayerCompression> = new Map<string, LayerCompression>([
  [mediaTypes.ociLayer, "none"],
  [mediaTypes.ociLayerGzip, "gzip"],
  [mediaTypes.ociLayerZstd, "zstd"],
  [mediaTypes.dockerLayer, "none"],
  [mediaTypes.dockerLayerGzip, "gzip"],
  [mediaTypes.dockerLayerZstd, "zstd"],
  // Layers that registries should not distribute (base layers of Windows and of some vendors). The bytes have the same format; only the media
  // type differs.
  ["application/vnd.oci.image.layer.nondistributable.v1.tar", "none"],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip"],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "zstd"],
  ["application/vnd.docker.image.rootfs.foreign.diff.tar", "none"],
  ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip"],
]);

/**
 * The compression that the layer's type claims; undefined when the type is no layer of a file system. Some published images claim the wrong one
 * (plain tar with a gzip type), so a reader also looks at the first bytes.
 */
export function layerCompression(type: string): LayerCompression | undefined {
  return layers.get(type);
}
