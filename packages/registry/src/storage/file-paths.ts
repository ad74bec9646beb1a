/** Where the file store has what. A part of a repository's name never begins with "_", so its own directories cannot be taken for repositories. */
import type { Digest } from "@fathom/spec";
import { join } from "node:path";

export class FilePaths {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  get temporary(): string {
    return join(this.root, "tmp");
  }
  get blobs(): string {
    return join(this.root, "blobs");
  }
  get repositories(): string {
    return join(this.root, "repositories");
  }
  get uploads(): string {
    return join(this.root, "uploads");
  }

  blob(digest: Digest): string {
    const [algorithm, hex] = parts(digest);
    return join(this.blobs, algorithm, hex.slice(0, 2), hex);
  }
  repository(name: string): string {
    return join(this.repositories, name);
  }
  links(name: string): string {
    return join(this.repository(name), "_links");
  }
  link(name: string, digest: Digest): string {
    return join(this.links(name), ...parts(digest));
  }
  manifests(name: string): string {
    return join(this.repository(name), "_manifests");
  }
  manifest(name: string, digest: Digest): string {
    return join(this.manifests(name), ...parts(digest));
  }
  tags(name: string): string {
    return join(this.repository(name), "_tags");
  }
  tag(name: string, tag: string): string {
    return join(this.tags(name), tag);
  }
  referrers(name: string, subject: Digest): string {
    return join(this.repository(name), "_referrers", ...parts(subject));
  }
  referrer(name: string, subject: Digest, digest: Digest): string {
    return join(this.referrers(name, subject), ...parts(digest));
  }
  upload(id: string): string {
    return join(this.uploads, id);
  }
  uploadRow(id: string): string {
    return join(this.upload(id), "row");
  }
  uploadData(id: string): string {
    return join(this.upload(id), "data");
  }
}

function parts(digest: Digest): [algorithm: string, hex: string] {
  const colon = digest.indexOf(":");
  return [digest.slice(0, colon), digest.slice(colon + 1)];
}
