/**
 * An index with two platforms and an attestation in a real daemon: it is one image in lists, inspect shows each platform, and it stays complete
 * until its name is removed.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hostPlatform } from "@fathom/spec";
import { makeBusyboxImage } from "../make-busybox-image.ts";
import { TestDaemon } from "./harness.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("one-image");
  await daemon.start();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

const host = hostPlatform().architecture;
const foreign = host === "arm64" ? "amd64" : "arm64";

interface Described {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** A layout whose index has this machine's image, the same for another platform, and an attestation. Returns its blobs and its parts. */
function makeLayout(directory: string, name: string) {
  makeBusyboxImage(directory, name);
  const pathOf = (digest: string): string => join(directory, "blobs", digest.replace(":", "/"));
  const read = <T>(digest: string): T => JSON.parse(readFileSync(pathOf(digest), "utf8")) as T;
  const blobs: string[] = [];
  const add = (mediaType: string, value: object): Described => {
    const data = JSON.stringify(value);
    const digest = `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;
    writeFileSync(pathOf(digest), data);
    blobs.push(digest);
    return { mediaType, digest, size: data.length };
  };
  const layout = JSON.parse(readFileSync(join(directory, "index.json"), "utf8")) as { manifests: [Described] };
  const [{ digest, mediaType, size }] = layout.manifests;
  const own = { digest, mediaType, size };
  const manifest = read<{ config: Described; layers: Described[] }>(digest);
  blobs.push(digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest));
  const config = add(manifest.config.mediaType, { ...read(manifest.config.digest), architecture: foreign });
  const other = add(mediaType, { ...manifest, config });
  const statement = add("application/vnd.in-toto+json", { predicateType: "https://slsa.dev/provenance/v0.2" });
  const empty = add(manifest.config.mediaType, { os: "unknown", architecture: "unknown", rootfs: { type: "layers" } });
  const proof = add(mediaType, { ...manifest, config: empty, layers: [statement] });
  const index = add("application/vnd.oci.image.index.v1+json", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      { ...other, platform: { os: "linux", architecture: foreign } },
      { ...own, platform: { os: "linux", architecture: host } },
      {
        ...proof,
        platform: { os: "unknown", architecture: "unknown" },
        annotations: {
          "vnd.docker.reference.type": "attestation-manifest",
          "vnd.docker.reference.digest": own.digest,
        },
      },
    ],
  });
  const named = { ...index, annotations: { "io.containerd.image.name": `docker.io/library/${name}` } };
  writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
  return { blobs, own: manifest.config.digest, other: config.digest };
}

test("an index with two platforms and an attestation is one image, also after a restart and a crash", async () => {
  const layout = join(daemon.work, "two");
  const { blobs, own, other } = makeLayout(layout, "two:1");
  const archive = join(daemon.work, "two.tar");
  daemon.run("tar", "-C", layout, "-cf", archive, ".");
  expect(daemon.fathom("load", "-i", archive)).toBe("Loaded image: two:1");

  const stored = (): string[] => readdirSync(join(daemon.dataRoot, "content/sha256")).map((hex) => `sha256:${hex}`);
  const inspect = async (platform?: string) => {
    const wanted = JSON.stringify({ os: "linux", architecture: platform });
    const query = platform === undefined ? "" : `?platform=${encodeURIComponent(wanted)}`;
    // The first API version that accepts a platform.
    const path = `/images/two:1/json${query}`;
    const { status, json } = await daemon.api<{ Id: string; RepoTags: string[] }>("GET", path, undefined, "1.49");
    return [status, json.Id, json.RepoTags];
  };
  const check = async (): Promise<void> => {
    const { json: listed } = await daemon.api<{ Id: string; RepoTags: string[] }[]>("GET", "/images/json?all=1");
    expect(listed.map(({ Id, RepoTags }) => [Id, RepoTags])).toEqual([[own, ["two:1"]]]);
    expect(await inspect()).toEqual([200, own, ["two:1"]]);
    expect(await inspect(host)).toEqual([200, own, ["two:1"]]);
    expect(await inspect(foreign)).toEqual([200, other, ["two:1"]]);
    expect((await inspect("s390x"))[0]).toBe(404);
    expect(daemon.fathom("run", "--rm", "two:1", "echo", "runs")).toBe("runs");
    const body = { Image: "two:1" };
    const made = await daemon.api<{ Id: string }>("POST", `/containers/create?platform=linux/${foreign}`, body);
    const { json } = await daemon.api<{ Image: string }>("GET", `/containers/${made.json.Id}/json`);
    expect(json.Image).toBe(other);
    // In lists, the container has the image's name, and the shown image counts this container.
    const { json: containers } = await daemon.api<{ Image: string }[]>("GET", "/containers/json?all=1");
    expect(containers.map(({ Image }) => Image)).toEqual(["two:1"]);
    const { json: used } = await daemon.api<{ Containers: number }[]>("GET", "/images/json", undefined, "1.51");
    expect(used.map(({ Containers }) => Containers)).toEqual([1]);
    const { json: disk } = await daemon.api<{ Images: { Containers: number }[] }>("GET", "/system/df?type=image");
    expect(disk.Images.map(({ Containers }) => Containers)).toEqual([1]);
    expect((await daemon.api("DELETE", "/images/two:1")).status).toBe(409);
    await daemon.api("DELETE", `/containers/${made.json.Id}`);
    // A prune removes nothing of it.
    await daemon.api("POST", "/images/prune");
    expect(stored().sort()).toEqual([...new Set(blobs)].sort());
  };
  await check();
  await daemon.stop();
  await daemon.start();
  await check();
  await daemon.kill();
  await daemon.start();
  await check();

  const { json: removed } = await daemon.api<{ Untagged?: string; Deleted?: string }[]>("DELETE", "/images/two:1");
  expect(removed[0]).toEqual({ Untagged: "two:1" });
  expect(removed).toEqual(expect.arrayContaining([{ Deleted: own }, { Deleted: other }]));
  expect((await daemon.api("GET", "/images/json?all=1")).json).toEqual([]);
  expect(stored()).toEqual([]);
  expect(readdirSync(join(daemon.dataRoot, "overlay2/l"))).toEqual([]);
}, 120_000);
