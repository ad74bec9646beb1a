/** Writes images straight into the storage of a docker-registry: its files are plain blobs and links to them. */
import { copyFileSync, linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { decodeDocument, exact, list, omittable, text, type Decoder } from "@fathom/spec";

interface Blob {
  readonly digest: string;
}
const blob = exact<Blob>({ digest: text });
const manifestFields = exact<{ readonly mediaType?: string; readonly config: Blob; readonly layers: readonly Blob[] }>({
  mediaType: omittable(text),
  config: blob,
  layers: list(blob),
});
const indexFields = exact<{ readonly manifests: readonly Blob[] }>({ manifests: list(blob) });

function decoded<T>(decoder: Decoder<T>, json: string, name: string): T {
  return decodeDocument(decoder, JSON.parse(json), name);
}

export const sha256 = (data: Uint8Array): string =>
  `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;

function put(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

export class RegistryStore {
  /** `root` is the registry's rootdirectory. */
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  #blobPath(digest: string): string {
    const hex = digest.slice("sha256:".length);
    return join(this.root, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
  }

  putBlob(data: Uint8Array): string {
    const digest = sha256(data);
    put(this.#blobPath(digest), data);
    return digest;
  }

  /** Adds a finished file as a blob, with a hard link if possible. */
  putBlobFile(digest: string, path: string): void {
    const target = this.#blobPath(digest);
    mkdirSync(dirname(target), { recursive: true });
    try {
      linkSync(path, target);
    } catch {
      copyFileSync(path, target);
    }
  }

  /** Makes `name:tag` point to a manifest whose config and layers are already stored. */
  putManifest(name: string, tag: string, manifest: Uint8Array): void {
    const { config, layers } = decoded(manifestFields, new TextDecoder().decode(manifest), "the manifest");
    const digest = this.putBlob(manifest);
    const repository = join(this.root, "docker/registry/v2/repositories", name);
    const hex = (value: string): string => value.slice("sha256:".length);
    for (const blob of [config, ...layers])
      put(join(repository, "_layers/sha256", hex(blob.digest), "link"), blob.digest);
    put(join(repository, "_manifests/revisions/sha256", hex(digest), "link"), digest);
    put(join(repository, "_manifests/tags", tag, "current/link"), digest);
    put(join(repository, "_manifests/tags", tag, "index/sha256", hex(digest), "link"), digest);
  }

  /** Adds the first image of an OCI layout directory. */
  putLayout(name: string, tag: string, layout: string): void {
    const pathOf = (digest: string): string => join(layout, "blobs", digest.replace(":", "/"));
    const [first] = decoded(indexFields, readFileSync(join(layout, "index.json"), "utf8"), "index.json").manifests;
    if (first === undefined) throw new Error(`${layout} has no image`);
    const manifest = readFileSync(pathOf(first.digest));
    const { mediaType, config, layers } = decoded(manifestFields, manifest.toString(), "the manifest");
    for (const { digest } of [config, ...layers]) this.putBlobFile(digest, pathOf(digest));
    // docker-registry needs this member to know the kind of a manifest, but in OCI it is optional. An image without it gets it here, and so
    // another digest.
    const named =
      mediaType === undefined
        ? Buffer.from(
            JSON.stringify({
              ...JSON.parse(manifest.toString()),
              mediaType: "application/vnd.oci.image.manifest.v1+json",
            }),
          )
        : manifest;
    this.putManifest(name, tag, named);
  }
}
