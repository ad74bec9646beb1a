/** The life of images in a real daemon: what a removal, a prune, a commit and a second pull leave. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestDaemon } from "./harness.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("images");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon.close(), 60_000);

interface Item {
  readonly Id: string;
  readonly Untagged?: string;
  readonly Deleted?: string;
}

/** Commits a file on top of `from`, and leaves no container behind. */
async function commit(from: string, repository: string, tag: string): Promise<string> {
  daemon.fathom("run", "--name", "maker", from, "sh", "-c", `echo ${tag} > /file-${tag}`);
  const { status, json } = await daemon.api<Item>("POST", `/commit?container=maker&repo=${repository}&tag=${tag}`);
  expect(status).toBe(201);
  daemon.fathom("rm", "maker");
  return json.Id;
}

const ids = async (query = ""): Promise<string[]> =>
  (await daemon.api<Item[]>("GET", `/images/json${query}`)).json.map((image) => image.Id);

test("the image under a committed image is its parent: in history, in lists, in removals", async () => {
  const base = daemon.fathom("inspect", "-f", "{{.Id}}", daemon.image);
  const one = await commit(daemon.image, "chain", "one");
  const two = await commit("chain:one", "chain", "two");
  const history = (await daemon.api<Item[]>("GET", "/images/chain:two/history")).json.map(({ Id }) => Id);
  expect(history.slice(0, 3)).toEqual([two, one, base]);
  expect((await daemon.api<{ Parent: string }>("GET", "/images/chain:two/json")).json.Parent).toBe(one);

  // Its name can be removed. The image stays, hidden, for the image on top of it.
  expect((await daemon.api("DELETE", "/images/chain:one")).json).toEqual([{ Untagged: "chain:one" }]);
  expect(await ids()).not.toContain(one);
  expect(await ids("?all=1")).toContain(one);
  expect(await ids(`?filters=${encodeURIComponent('{"dangling":["true"]}')}`)).toEqual([]);
  const refused = await daemon.api<{ message: string }>("DELETE", `/images/${one.slice(7, 19)}?force=1`);
  expect(refused.status).toBe(409);
  expect(refused.json.message).toContain("(cannot be forced) - image has dependent child images");
  await daemon.api("POST", "/images/prune");
  expect(await ids("?all=1")).toContain(one);

  // It is removed with its last child. The base has a name and stays.
  const deleted = (await daemon.api<Item[]>("DELETE", "/images/chain:two")).json.map((item) => item.Deleted);
  expect(deleted).toContain(two);
  expect(deleted).toContain(one);
  expect(await ids("?all=1")).toEqual([base]);
});

test("prune -a removes all names but one of an image in use", async () => {
  daemon.fathom("create", "--name", "user", daemon.image);
  daemon.fathom("tag", daemon.image, "a/second:1");
  daemon.fathom("tag", daemon.image, "z/third:1");
  const pruned = (
    await daemon.api<{ ImagesDeleted: object[] }>(
      "POST",
      `/images/prune?filters=${encodeURIComponent('{"dangling":["false"]}')}`,
    )
  ).json;
  expect(pruned.ImagesDeleted).toEqual([{ Untagged: "a/second:1" }, { Untagged: "z/third:1" }]);
  expect(daemon.fathom("images", "--format", "{{.Repository}}:{{.Tag}}")).toBe(daemon.image);
  daemon.fathom("rm", "user");
});

test("an image whose layers stayed after its removal is complete again after a pull", async () => {
  const name = `${await daemon.startRegistry()}/kept:1`;
  daemon.fathom("tag", daemon.image, name);
  const { json } = await daemon.api<{ aux?: object }>("POST", `/images/${name.slice(0, -2)}/push?tag=1`);
  expect(json.aux).toBeDefined();
  // A container holds the layers, but nothing holds their compressed form.
  daemon.fathom("create", "--name", "holder", name);
  daemon.fathom("rmi", "-f", name);
  daemon.fathom("rmi", "-f", daemon.image);
  expect(await ids("?all=1")).toEqual([]);
  daemon.fathom("pull", name);
  daemon.fathom("save", "-o", `${daemon.work}/kept.tar`, name);
  daemon.fathom("rm", "holder");
  daemon.fathom("rmi", name);
  expect(daemon.fathom("load", "-i", `${daemon.work}/kept.tar`)).toBe(`Loaded image: ${name}`);
  expect(daemon.fathom("run", "--rm", name, "echo", "whole")).toBe("whole");
  daemon.fathom("tag", name, daemon.image);
  daemon.fathom("rmi", name);
}, 60_000);

test("an image that was loaded just before the daemon's clean end is still there after the machine's next boot", async () => {
  daemon.fathom("tag", daemon.image, "kept:1");
  daemon.fathom("save", "-o", `${daemon.work}/kept.tar`, "kept:1");
  daemon.fathom("rmi", "-f", "kept:1", daemon.image);
  daemon.fathom("load", "-i", `${daemon.work}/kept.tar`);
  await daemon.stop();
  // What the next boot finds: rows that may not be on disk carry the id of the earlier boot.
  const database = new Database(`${daemon.dataRoot}/fathom.db`);
  for (const table of ["layers", "blobs"]) database.run(`UPDATE ${table} SET boot = 'before' WHERE boot IS NOT NULL`);
  database.run("UPDATE store_state SET value = 'before' WHERE key = 'boot'");
  database.close();
  await daemon.start();
  expect(daemon.fathom("run", "--rm", "kept:1", "echo", "whole")).toBe("whole");
  daemon.fathom("tag", "kept:1", daemon.image);
  daemon.fathom("rmi", "kept:1");
});

test("events of images: one for each action", async () => {
  const since = Date.now() / 1000;
  daemon.fathom("tag", daemon.image, "ev:1");
  daemon.fathom("save", "-o", `${daemon.work}/ev.tar`, "ev:1");
  daemon.fathom("rmi", "ev:1");
  daemon.fathom("load", "-i", `${daemon.work}/ev.tar`);
  daemon.fathom("rmi", "ev:1");
  const made = await commit(daemon.image, "ev", "2");
  daemon.fathom("rmi", "ev:2");
  const range = ["--since", String(since), "--until", String(Date.now() / 1000)];
  const format = "{{.Action}} {{.Actor.Attributes.name}}";
  const out = daemon.fathom("events", ...range, "--filter", "type=image", "--format", format);

  const id = daemon.fathom("inspect", "-f", "{{.Id}}", daemon.image);
  expect(out.split("\n")).toEqual([
    "tag ev:1",
    `save ${id}`,
    `untag ${id}`,
    `load ${id}`,
    `untag ${id}`,
    `create ${made}`,
    "tag ev:2",
    `untag ${made}`,
    `delete ${made}`,
  ]);
});

test("an image as a mount: read-only, kept while the container exists, removed with it", async () => {
  daemon.fathom(
    "run",
    "--name",
    "maker",
    daemon.image,
    "sh",
    "-c",
    "mkdir /d && echo seen > /d/f && ln -s /etc /d/out",
  );
  await daemon.api("POST", "/commit?container=maker&repo=mounted&tag=1");
  daemon.fathom("rm", "maker");
  const mount = (options: string): string[] => ["--mount", `type=image,source=mounted:1,target=/i${options}`];
  daemon.fathom("run", "-d", "--name", "reader", ...mount(""), daemon.image, "sleep", "1000");
  expect(daemon.fathom("exec", "reader", "cat", "/i/d/f")).toBe("seen");
  expect(daemon.cli("exec", "reader", "touch", "/i/new").err).toContain("Read-only file system");
  const [shown] = JSON.parse(daemon.fathom("inspect", "-f", "{{json .Mounts}}", "reader"));
  expect(shown).toMatchObject({ Type: "image", Name: "mounted:1", Destination: "/i", RW: false });
  expect(daemon.cli("rmi", "mounted:1").err).toContain("is using its referenced image");
  daemon.fathom("rmi", "-f", "mounted:1");
  daemon.fathom("restart", "-t", "0", "reader");
  expect(daemon.fathom("exec", "reader", "cat", "/i/d/f")).toBe("seen");
  // The next daemon knows whose layers they are.
  await daemon.kill();
  await daemon.start();
  daemon.fathom("restart", "-t", "0", "reader");
  expect(daemon.fathom("exec", "reader", "cat", "/i/d/f")).toBe("seen");
  daemon.fathom("rm", "-f", "reader");
  expect(daemon.run("cat", "/proc/self/mountinfo").out).not.toContain(daemon.work);
  expect(daemon.cli("run", "--rm", ...mount(""), daemon.image, "true").err).toContain("No such image: mounted:1");
});

test("a subpath of a volume gives only what is inside it", () => {
  daemon.fathom(
    "run",
    "--rm",
    "-v",
    "sub:/v",
    daemon.image,
    "sh",
    "-c",
    "mkdir -p /v/a/b; echo in > /v/a/f; ln -s a /v/inner; ln -s /etc /v/out",
  );
  const run = (subpath: string, ...command: string[]) =>
    daemon.cli(
      "run",
      "--rm",
      "--mount",
      `type=volume,source=sub,target=/m,volume-subpath=${subpath}`,
      daemon.image,
      ...command,
    );
  expect(run("a", "cat", "/m/f").out).toBe("in\n");
  expect(run("inner", "cat", "/m/f").out).toBe("in\n");
  expect(run("a/f", "cat", "/m").out).toBe("in\n");
  expect(run("out", "true").err).toContain("path concatenation escapes the base directory");
  expect(run("missing", "true").err).toContain("no such file or directory");
  expect(run("../x", "true").err).toContain("subpath must be a relative path within the volume");
  daemon.fathom("volume", "rm", "sub");
});
