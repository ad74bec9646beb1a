/** Images that mean harm: what one of them decides stops nobody else, and leads nowhere. */
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
import { TestDaemon } from "./harness.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("hostile");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon.close(), 60_000);

/** An image of busybox with what `make` puts into a directory, holes of files kept. */
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

/** How many pings that were sent after a request were answered before it was. A daemon whose one thread works on the request answers none. */
async function pingsDuring(request: () => Promise<Response>): Promise<number> {
  let ended = false;
  const running = request().then((response) => {
    ended = true;
    return response;
  });
  // The request is under way before the first ping.
  await Bun.sleep(0);
  let pings = 0;
  while (!ended) {
    await (await daemon.request("GET", "/_ping")).text();
    if (!ended) pings++;
  }
  const response = await running;
  if (!response.ok) throw new Error(await response.text());
  return pings;
}

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

test("a large first content of a volume is copied while the daemon answers others, with everything that it has", async () => {
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
  // Two that want it at the same time: the second one waits, and finds it filled.
  const second = pingsDuring(create("many2"));
  expect(await pingsDuring(create("many1"))).toBeGreaterThan(0);
  expect(await second).toBeGreaterThan(0);
  expect(readdirSync(join(volumePath("many"), "deep")).sort()).toEqual(names.sort());
  expect(readFileSync(join(volumePath("many"), "deep/f77"), "utf8")).toBe("f77");
  const [owned, linked] = [statSync(join(volumePath("many"), "owned")), statSync(join(volumePath("many"), "second"))];
  expect([owned.uid, owned.gid, owned.mode & 0o7777, owned.nlink]).toEqual([7, 8, 0o4711, 2]);
  expect(linked.ino).toBe(owned.ino);
  expect(readdirSync(join(volumePath("many"), ".."))).toEqual(["_data"]);
  daemon.docker("rm", "many1", "many2");
  daemon.docker("volume", "rm", "many");
}, 60_000);

test("a first content that a crash left half done goes, one that was whole is finished", async () => {
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
  expect(readdirSync(join(volumePath("whole"), ".."))).toEqual(["_data"]);
  daemon.docker("volume", "rm", "half", "whole");
});
