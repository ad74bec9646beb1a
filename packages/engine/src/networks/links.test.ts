/** `--link` in the default network. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { request, useEngine } from "../testing/engine-world.ts";
import { startDaemon } from "../testing/fakes.ts";
import { parseLink } from "./links.ts";

const world = useEngine();
const file = (id: string): string => join(world.root, "containers", id, "hosts");
const hosts = (id: string): string => readFileSync(file(id), "utf8");
const linksOf = async (name: string): Promise<readonly string[] | null> =>
  (await world.engine.containers.inspect(name, false)).HostConfig.Links;
const addressOf = async (name: string): Promise<string> =>
  (await world.engine.containers.inspect(name, false)).NetworkSettings.Networks["bridge"]!.IPAddress;
const namesOf = async (): Promise<(readonly string[])[]> => {
  const list = await world.engine.containers.list({ all: true, size: false, limit: undefined, filters: {} });
  return list.map(({ Names }) => Names);
};
const removal = { volumes: false, force: false };

test("the three forms of a link", () => {
  expect([parseLink("db"), parseLink("db:store"), parseLink("/db:/web/store")]).toEqual([
    { name: "db", alias: "db" },
    { name: "db", alias: "store" },
    { name: "db", alias: "store" },
  ]);
  expect(() => parseLink("")).toThrow("empty string specified for links");
  expect(() => parseLink("a:b:c")).toThrow("bad format for links: a:b:c");
});

test("inspect, list and look-ups know the link; its name follows a rename, and it goes with its target", async () => {
  const db = await world.run("db");
  await world.run("web", { Links: ["db:store", "db", "db:store"] });
  expect(await linksOf("web")).toEqual(["/db:/web/store", "/db:/web/db"]);
  expect(await namesOf()).toEqual([["/web"], ["/db", "/web/db", "/web/store"]]);
  expect((await world.engine.containers.inspect("web/store", false)).Id).toBe(db);
  await world.engine.containers.rename("web", "www");
  expect(await linksOf("www")).toEqual(["/db:/www/store", "/db:/www/db"]);
  await world.engine.containers.remove("db", { ...removal, force: true, link: false });
  expect(await linksOf("www")).toBeNull();
  await expect(world.engine.containers.inspect("www/store", false)).rejects.toThrow("No such container: www/store");
});

test("the hosts file has the target, follows its restart, and keeps a user's lines; rm --link removes the line", async () => {
  const db = await world.run("db");
  const web = await world.run("web", { Links: ["db:store"] });
  const own = hosts(web).split("\n").slice(0, -2).join("\n");
  const line = (address: string): string => `${address}\tstore ${db.slice(0, 12)} db`;
  expect(hosts(web)).toBe(`${own}\n${line(await addressOf("db"))}\n`);
  writeFileSync(file(web), `${hosts(web)}10.9.9.9\tmine\n`);
  await world.engine.containers.stop("db", { signal: "", timeoutSeconds: 0 });
  // Its address is given to another container.
  const before = await addressOf("web");
  await world.run("other");
  await world.engine.containers.start("db", undefined);
  expect(await addressOf("db")).not.toBe(before);
  expect(hosts(web)).toBe(`${own}\n${line(await addressOf("db"))}\n10.9.9.9\tmine\n`);
  await world.engine.containers.remove("/web/store", { ...removal, link: true });
  expect(hosts(web)).toBe(`${own}\n10.9.9.9\tmine\n`);
  expect([await linksOf("web"), await world.status("db")]).toEqual([null, "running"]);
  for (const name of ["db", db])
    await expect(world.engine.containers.remove(name, { ...removal, link: true })).rejects.toThrow(
      "Conflict, cannot remove the default link name of the container",
    );
});

test("the next daemon knows the links", async () => {
  await world.run("db");
  await world.run("web", { Links: ["db"] });
  await world.engine.shutdown();
  world.engine = await startDaemon(world.machine, world.root, {}, world.volumeQuestions);
  expect(await linksOf("web")).toEqual(["/db:/web/db"]);
});

test("what cannot be linked, and when", async () => {
  const create = (name: string, ...links: string[]): Promise<unknown> =>
    world.engine.containers.create(name, undefined, request({ Links: links }));
  await expect(create("web", "nobody:x")).rejects.toMatchObject({
    code: "invalid-argument",
    message: "could not get container for nobody: No such container: nobody",
  });
  await world.run("far", { NetworkMode: "none" });
  await create("to-far", "far");
  await expect(world.engine.containers.start("to-far", undefined)).rejects.toThrow(
    "failed to set up container networking: Cannot link to /far, as it does not belong to the default network",
  );
  await world.engine.containers.create("db", undefined, request());
  await create("web", "db:store");
  await expect(world.engine.containers.start("web", undefined)).rejects.toThrow(
    "Cannot link to a non running container: /db AS /web/store",
  );
  await world.engine.containers.start("db", undefined);
  await world.engine.containers.start("web", undefined);
  await world.run("hosted", { NetworkMode: "host" });
  await expect(create("last", "hosted")).rejects.toThrow("host type networking can't be used with links");
});

test.each(["networks.find", "oci.containerSpec", "sandbox.connect", "stem.launch"])(
  "a start with a link whose %s fails leaves nothing, and the next one has the link",
  async (call) => {
    await world.run("db");
    const { Id } = await world.engine.containers.create("web", undefined, request({ Links: ["db:store"] }));
    const before = [...world.machine.endpoints.keys()];
    world.machine.faults.failNext(call);
    await expect(world.engine.containers.start("web", undefined)).rejects.toThrow("as the test planned");
    expect([[...world.machine.endpoints.keys()], await linksOf("web")]).toEqual([before, ["/db:/web/store"]]);
    await world.engine.containers.start("web", undefined);
    expect(hosts(Id)).toContain(`${await addressOf("db")}\tstore `);
  },
);

test("a link whose removal cannot be written stays whole", async () => {
  await world.run("db");
  const web = await world.run("web", { Links: ["db:store"] });
  const before = hosts(web);
  world.machine.faults.failNext("database.run");
  await expect(world.engine.containers.remove("web/store", { ...removal, link: true })).rejects.toThrow(
    "as the test planned",
  );
  expect([hosts(web), await linksOf("web")]).toEqual([before, ["/db:/web/store"]]);
  await world.engine.containers.remove("web/store", { ...removal, link: true });
  expect(await linksOf("web")).toBeNull();
});
