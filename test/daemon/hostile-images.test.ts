/** Hostile images: the content of an image blocks nobody else and leads nowhere outside. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { makeTar } from "@fathom/archive/testing";
import { sha256Digest } from "@fathom/spec";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("hostile");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon.close(), 60_000);

/** An image of busybox with the files that `make` puts into a directory; holes of files stay holes. */
function makeImage(name: string, make: (root: string) => void, ...changes: string[]): void {
  const root = join(daemon.work, "root");
  mkdirSync(root);
  daemon.docker("create", "--name", "base", daemon.image);
  daemon.docker("export", "-o", `${root}.tar`, "base");
  daemon.docker("rm", "base");
  expect(daemon.run("tar", "-C", root, "-xf", `${root}.tar`).code).toBe(0);
  make(root);
  expect(daemon.run("tar", "-C", root, "--sparse", "--format=pax", "-cf", `${root}.tar`, ".").code).toBe(0);
  daemon.docker("import", ...changes.flatMap((change) => ["--change", change]), `${root}.tar`, name);
  rmSync(root, { recursive: true });
}

/** How many pings are answered before a request that was sent earlier. A daemon whose one thread works on the request answers none of them. */
async function pingsDuring(request: () => Promise<Response>): Promise<{ pings: number; response: Response }> {
  let ended = false;
  const running = request().then((response) => {
    ended = true;
    return response;
  });
  // The request is running before the first ping.
  // sleep: one turn of the event loop
  await Bun.sleep(0);
  let pings = 0;
  while (!ended) {
    await (await daemon.request("GET", "/_ping")).text();
    if (!ended) pings++;
  }
  return { pings, response: await running };
}

const tar = (entries: readonly { readonly path: string; readonly data?: Uint8Array | string }[]): Buffer =>
  makeTar(
    entries.map(({ path, data }) =>
      data === undefined ? { path, kind: "directory", mode: 0o700 } : { path, text: data },
    ),
  );

const imageConfig = (layers: readonly Uint8Array[]): string =>
  JSON.stringify({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: layers.map((layer) => sha256Digest(layer)) },
  });

function load(archive: Uint8Array): string {
  writeFileSync(join(daemon.work, "hostile.tar"), archive);
  return daemon.docker("load", "-q", "-i", join(daemon.work, "hostile.tar"));
}

// The daemon of these tests reports when it stood still for long; then the end of the file fails (TestDaemon.close).
test("thousands of directories without an entry, over many layers: their owners are found while other requests are answered", () => {
  const names = Array.from({ length: 2000 }, (_, index) => `d${index}`);
  const layers = [
    tar(names.map((path) => ({ path: `${path}/` }))),
    ...Array.from({ length: 40 }, (_, index) => tar([{ path: `layer${index}`, data: "" }])),
    tar(names.map((path) => ({ path: `${path}/file`, data: "x" }))),
  ];
  const files = layers.map((data, index) => ({ path: `layer${index}.tar`, data }));
  const manifest = [{ Config: "config", RepoTags: ["implied:1"], Layers: files.map(({ path }) => path) }];
  load(
    tar([
      ...files,
      { path: "config", data: imageConfig(layers) },
      { path: "manifest.json", data: JSON.stringify(manifest) },
    ]),
  );
  const [top] = daemon.docker("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", "implied:1").split("\n");
  for (const name of names) expect(statSync(join(top!, name)).mode & 0o777).toBe(0o700);
  daemon.docker("rmi", "implied:1");
}, 60_000);

test("an archive that lists one huge manifest many times reads it once; an archive with too many images is rejected", () => {
  const config = imageConfig([]);
  const media = "application/vnd.oci.image";
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: `${media}.manifest.v1+json`,
    config: { mediaType: `${media}.config.v1+json`, digest: sha256Digest(config), size: config.length },
    layers: [],
    annotations: { long: "x".repeat(3_000_000) },
  });
  const digest = sha256Digest(manifest);
  const layout = (count: number): Buffer =>
    tar([
      ...[config, manifest].map((data) => ({ path: `blobs/sha256/${sha256Digest(data).slice(7)}`, data })),
      {
        path: "index.json",
        data: JSON.stringify({
          schemaVersion: 2,
          manifests: Array.from({ length: count }, (_, index) => ({
            mediaType: `${media}.manifest.v1+json`,
            digest,
            size: manifest.length,
            ...(index < 3 ? { annotations: { "io.containerd.image.name": `listed:${index}` } } : {}),
          })),
        }),
      },
    ]);
  expect(load(layout(100))).toContain("Loaded image: listed:2");
  expect(() => load(layout(5000))).toThrow("the archive has more than 4000 images");
  daemon.docker("rmi", "-f", daemon.docker("inspect", "-f", "{{.Id}}", "listed:0"));
}, 60_000);

const volumePath = (name: string): string => join(daemon.dataRoot, "volumes", name, "_data");

test("a sparse file below a VOLUME stays sparse in the volume", () => {
  const size = 3 * 1024 ** 3;
  makeImage(
    "sparse",
    (root) => {
      mkdirSync(join(root, "data"));
      const path = join(root, "data/file");
      writeFileSync(path, "");
      truncateSync(path, size);
      const fd = openSync(path, "r+");
      writeSync(fd, "in the middle", size / 2);
      closeSync(fd);
    },
    "VOLUME /data",
  );
  daemon.docker("create", "--name", "sparse", "-v", "sparse:/data", "sparse", "true");
  const stat = statSync(join(volumePath("sparse"), "file"));
  expect(stat.size).toBe(size);
  expect(stat.blocks * 512).toBeLessThan(1 << 20);
  const part = daemon.docker(
    "run",
    "--rm",
    "-v",
    "sparse:/data",
    daemon.image,
    "sh",
    "-c",
    `dd if=/data/file bs=13 skip=${size / 2} iflag=skip_bytes count=1 2>/dev/null`,
  );
  expect(part).toBe("in the middle");
  daemon.docker("rm", "sparse");
  daemon.docker("volume", "rm", "sparse");
}, 60_000);

test("a large first content of a volume is copied completely while the daemon answers others", async () => {
  const names = Array.from({ length: 5000 }, (_, index) => `f${index}`);
  makeImage(
    "many",
    (root) => {
      mkdirSync(join(root, "data/deep"), { recursive: true });
      for (const name of names) writeFileSync(join(root, "data/deep", name), name);
      writeFileSync(join(root, "data/owned"), "x", { mode: 0o4711 });
      expect(daemon.run("chown", "7:8", join(root, "data/owned")).code).toBe(0);
      expect(daemon.run("chmod", "4711", join(root, "data/owned")).code).toBe(0);
      expect(daemon.run("ln", join(root, "data/owned"), join(root, "data/second")).code).toBe(0);
    },
    "VOLUME /data",
  );
  const body = { Image: "many", Cmd: ["true"], HostConfig: { Binds: ["many:/data"] } };
  const create = (name: string) => () => daemon.request("POST", `/containers/create?name=${name}`, body);
  // Two containers need it at the same time: the second one waits, and finds it filled.
  const second = pingsDuring(create("many2"));
  for (const { pings, response } of [await pingsDuring(create("many1")), await second]) {
    expect(response.status).toBe(201);
    expect(pings).toBeGreaterThan(0);
  }
  expect(readdirSync(join(volumePath("many"), "deep")).sort()).toEqual(names.sort());
  expect(readFileSync(join(volumePath("many"), "deep/f77"), "utf8")).toBe("f77");
  const [owned, linked] = [statSync(join(volumePath("many"), "owned")), statSync(join(volumePath("many"), "second"))];
  expect([owned.uid, owned.gid, owned.mode & 0o7777, owned.nlink]).toEqual([7, 8, 0o4711, 2]);
  expect(linked.ino).toBe(owned.ino);
  expect(readdirSync(join(volumePath("many"), "..")).sort()).toEqual(["_data", "opts.json"]);
  daemon.docker("rm", "many1", "many2");
  daemon.docker("volume", "rm", "many");
}, 60_000);

test("a mounted directory of a volume gets its first content, unless it has files or nocopy", () => {
  makeImage("parts", (root) => {
    mkdirSync(join(root, "data"));
    writeFileSync(join(root, "data/first"), "first");
  });
  daemon.docker(
    "run",
    "--rm",
    "-v",
    "parts:/v",
    daemon.image,
    "sh",
    "-c",
    "mkdir /v/empty /v/used /v/bare; touch /v/used/file",
  );
  const list = (directory: string, ...more: string[]): string => {
    const mount = ["type=volume,source=parts,target=/data", `volume-subpath=${directory}`, ...more].join(",");
    return daemon.docker("run", "--rm", "--mount", mount, "parts", "ls", "/data");
  };
  expect([list("empty"), list("used"), list("bare", "volume-nocopy")]).toEqual(["first", "file", ""]);
  expect(readdirSync(volumePath("parts")).sort()).toEqual(["bare", "empty", "used"]);
  daemon.docker("volume", "rm", "parts");
});

test("a huge /etc/passwd and /etc/group: a user is found while other requests are answered", async () => {
  makeImage("users", (root) => {
    const users = Array.from({ length: 300_000 }, (_, index) => `user${index}:x:${index + 1000}:100::/h:/bin/sh\n`);
    writeFileSync(join(root, "etc/passwd"), users.join(""));
    writeFileSync(join(root, "etc/group"), `${"many:x:5:a,b,c\n".repeat(900_000)}wheel:x:10:user299999\n`);
  });
  daemon.docker("run", "-d", "--name", "users", "users", "sleep", "1000");
  const body = { Cmd: ["id"], User: "user299999" };
  const { pings, response } = await pingsDuring(() => daemon.request("POST", "/containers/users/exec", body));
  expect(response.status).toBe(201);
  expect(pings).toBeGreaterThan(0);
  const identity = ["exec", "-u", "user299999", "users", "sh", "-c", "id -u; id -G"];
  expect(daemon.docker(...identity)).toBe("300999\n100 10");
  // An additional user changes the file, and with it the answer.
  daemon.docker("exec", "-u", "0", "users", "sh", "-c", "echo extra:x:11:user299999 >> /etc/group");
  expect(daemon.docker(...identity)).toBe("300999\n100 10 11");
  daemon.docker("rm", "-f", "users");
}, 60_000);

test("--device of a directory: only its devices, and not a whole large tree", async () => {
  const start = async (name: string, device: object) => {
    const body = { Image: daemon.image, Cmd: ["true"], HostConfig: { Devices: [device] } };
    expect((await daemon.request("POST", `/containers/create?name=${name}`, body)).ok).toBe(true);
    return daemon.request("POST", `/containers/${name}/start`);
  };
  const message = async (response: Response): Promise<string> =>
    ((await response.json()) as { message: string }).message;
  const gathering = "error gathering device information while adding custom device";
  expect(await message(await start("nothing", {}))).toContain(`${gathering} "": no such file or directory`);
  // A tree of the test's own, so that its size is known.
  const large = join(daemon.work, "large");
  for (let index = 0; index < 300; index++) {
    mkdirSync(join(large, String(index)), { recursive: true });
    for (let file = 0; file < 100; file++) closeSync(openSync(join(large, String(index), String(file)), "w"));
  }
  const mapping = { PathOnHost: large, PathInContainer: "/x", CgroupPermissions: "rwm" };
  const { pings, response } = await pingsDuring(() => start("large", mapping));
  expect(await message(response)).toContain("it holds more than 20000 files and directories");
  expect(pings).toBeGreaterThan(0);
  expect(daemon.docker("run", "--rm", "--device", "/dev/net:/dev/mine", daemon.image, "ls", "/dev/mine")).toBe("tun");
  for (const name of ["nothing", "large"]) daemon.docker("rm", name);
}, 60_000);

test("top of a container with thousands of processes: the table is complete, and other requests are answered meanwhile", async () => {
  // Each process waits for the one FIFO.
  const script = "mkfifo /dev/shm/f; i=0; while [ $i -lt 3000 ]; do cat /dev/shm/f & i=$((i+1)); done; echo all; wait";
  daemon.docker("run", "-d", "--name", "bomb", daemon.image, "sh", "-c", script);
  await until("all have begun", () => daemon.docker("logs", "bomb") === "all");
  const { pings, response } = await pingsDuring(() => daemon.request("GET", "/containers/bomb/top"));
  const { Titles, Processes } = (await response.json()) as { Titles: string[]; Processes: string[][] };
  expect(Titles.at(-1)).toBe("CMD");
  expect(Processes.filter((row) => row.at(-1) === "cat /dev/shm/f" || row.at(-1)?.startsWith("sh -c"))).toHaveLength(
    3001,
  );
  expect(pings).toBeGreaterThan(0);
  daemon.docker("rm", "-f", "bomb");
}, 60_000);

test("a first content that a crash left half done is removed, a complete one is finished", async () => {
  for (const name of ["half", "whole"]) daemon.docker("volume", "create", name);
  await daemon.stop();
  for (const [name, state] of [
    ["half", ".filling"],
    ["whole", ".filled"],
  ] as const) {
    const path = join(volumePath(name), "..", state);
    mkdirSync(path, { mode: 0o751 });
    writeFileSync(join(path, "file"), name);
  }
  // Some of it had been moved.
  writeFileSync(join(volumePath("whole"), "moved"), "before");
  await daemon.start();
  expect(readdirSync(volumePath("half"))).toEqual([]);
  expect(existsSync(join(volumePath("half"), "../.filling"))).toBe(false);
  expect(readdirSync(volumePath("whole")).sort()).toEqual(["file", "moved"]);
  expect(statSync(volumePath("whole")).mode & 0o777).toBe(0o751);
  expect(readdirSync(join(volumePath("whole"), "..")).sort()).toEqual(["_data", "opts.json"]);
  daemon.docker("volume", "rm", "half", "whole");
});
