/**
 * An index with two platforms and an attestation in a real daemon: it is one image in lists, inspect shows each platform, and it stays complete
 * until its name is removed.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hostPlatform } from "@fathom/spec";
import { makeBusyboxImage } from "../make-busybox-image.ts";
import { TestDaemon, until } from "./harness.ts";

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
  return { blobs, own: manifest.config.digest, other: config.digest, index: index.digest };
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

test("pushed, saved, and pulled with skopeo, an index keeps its digest and all its platforms", async () => {
  const registry = await daemon.startRegistry();
  const layout = join(daemon.work, "sent");
  const { blobs, index } = makeLayout(layout, "sent:1");
  daemon.run("tar", "-C", layout, "-cf", `${layout}.tar`, ".");
  daemon.docker("load", "-i", `${layout}.tar`);
  daemon.docker("tag", "sent:1", `${registry}/one:1`);
  expect(daemon.docker("push", `${registry}/one:1`)).toContain(`1: digest: ${index} size: `);
  // The registry has everything, byte for byte.
  const copy = join(daemon.work, "copy");
  const copied = daemon.run(
    "skopeo",
    "copy",
    "--all",
    "--src-tls-verify=false",
    `docker://${registry}/one:1`,
    `oci:${copy}:x`,
  );
  expect(copied.code).toBe(0);
  const names = (directory: string): string[] => readdirSync(join(directory, "blobs/sha256")).sort();
  const sent = [...new Set([...blobs, index])].map((digest) => digest.slice("sha256:".length)).sort();
  expect(names(copy)).toEqual(sent);
  // A platform that it does not have is an error in the stream.
  const asked = await daemon.request("POST", `/images/create?fromImage=${registry}/one&tag=1&platform=linux/s390x`);
  expect([asked.status, await asked.text()]).toEqual([
    200,
    expect.stringContaining("no matching manifest for linux/s390x in the manifest list entries"),
  ]);
  // Another repository of the same registry takes the blobs from the first one.
  daemon.docker("tag", "sent:1", `${registry}/team/two:1`);
  const second = daemon.docker("push", `${registry}/team/two:1`);
  expect(second).toContain("Mounted from one");
  expect(second).not.toMatch(/Pushed$/m);
  expect(second).toContain(`1: digest: ${index} size: `);
  expect(daemon.docker("push", `${registry}/team/two:1`)).toContain("Layer already exists");
  // An archive keeps it too, for Fathom and for skopeo.
  const saved = join(daemon.work, "saved.tar");
  daemon.docker("save", "-o", saved, "sent:1");
  const read = Bun.spawnSync(["skopeo", "inspect", "--raw", `oci-archive:${saved}`]);
  expect(`sha256:${new Bun.CryptoHasher("sha256").update(read.stdout).digest("hex")}`).toBe(index);
  const tags = ["sent:1", `${registry}/one:1`, `${registry}/team/two:1`];
  daemon.docker("rmi", ...tags);
  daemon.docker("load", "-i", saved);
  daemon.docker("tag", "sent:1", `${registry}/three:1`);
  expect(daemon.docker("push", `${registry}/three:1`)).toContain(`1: digest: ${index} size: `);
  daemon.docker("rmi", "sent:1", `${registry}/three:1`);
});

test("a wrong password is 401 in the registry's words, not a repository that does not exist", async () => {
  const address = "127.0.0.1:5001";
  const users = join(daemon.work, "users");
  writeFileSync(users, `ann:${await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 })}\n`);
  const config = {
    version: 0.1,
    log: { level: "error" },
    storage: { filesystem: { rootdirectory: join(daemon.work, "guarded") } },
    http: { addr: address },
    auth: { htpasswd: { realm: "test", path: users } },
  };
  writeFileSync(join(daemon.work, "guarded.yml"), JSON.stringify(config));
  const registry = daemon.begin("docker-registry", "serve", join(daemon.work, "guarded.yml"));
  try {
    const curl = (...options: string[]): string => daemon.run("curl", "-s", "-w", "%{http_code}", ...options).out;
    await until("the registry answers", () => curl(`http://${address}/v2/`).endsWith("401"));
    const pull = (password: string): string => {
      const auth = Buffer.from(JSON.stringify({ username: "ann", password })).toString("base64url");
      const url = `http://d/images/create?fromImage=${address}/app&tag=1`;
      return curl("--unix-socket", daemon.socket, "-X", "POST", "-H", `X-Registry-Auth: ${auth}`, url);
    };
    expect(pull("wrong")).toBe('{"message":"unauthorized: authentication required"}\n401');
    expect(pull("secret")).toMatch(/manifest for .* not found: .*404$/s);
  } finally {
    registry.kill("SIGKILL");
    await registry.exited;
  }
});
