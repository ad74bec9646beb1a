/**
 * The classic job of docker-compose 1.29: three services, one of them built, networks, a volume, a health check and an order of starts (compose.yaml).
 *
 * docker-compose's own ways:
 * - To make a container again, it reads the image's volumes from `ContainerConfig`: it wants to keep those without a name. From API 1.45 on,
 *   images have no such field, and it ends with an error, with dockerd as well. So its users set COMPOSE_API_VERSION.
 * - It finds what belongs to it by labels, and it decides by a hash in a label what it must make again.
 * - It makes a container with its first network only. Before the start, it disconnects it from each network and connects it again, with its
 *   aliases.
 * - For `run`, it sends links to the service's own containers, both in the host configuration and in the endpoint.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { until, type TestDaemon } from "../daemon/harness.ts";
import { client, startDaemon } from "./client.ts";

let daemon: TestDaemon;
let round = 1;
beforeAll(async () => {
  daemon = await startDaemon("compose");
}, 60_000);
afterAll(() => daemon.close(), 60_000);

/** A command of docker-compose; returns its output. */
function compose(...args: readonly string[]): Promise<string> {
  const command = ["docker-compose", "--ansi", "never", "-p", "job", "-f", join(import.meta.dir, "compose.yaml")];
  return client(daemon, [...command, ...args], {
    COMPOSE_API_VERSION: "1.40",
    IMAGE: daemon.image,
    ROUND: `${round}`,
  });
}
const inside = async (service: string, ...command: readonly string[]): Promise<string> =>
  (await compose("exec", "-T", service, ...command)).trim();
const idOf = async (service: string): Promise<string> => (await compose("ps", "-q", service)).trim();

test("up starts the services in their order, and they find each other by name", async () => {
  expect(await compose("config", "--services")).toContain("worker");
  await compose("up", "-d");
  const states = await compose("ps");
  expect(states).toMatch(/job_store_1 .* Up \(healthy\)/);
  expect(states).toMatch(/job_web_1 .* Up .* 127\.0\.0\.1:\d+->80\/tcp/);
  expect(states).toMatch(/job_worker_1 .* Up/);
  expect(await compose("logs", "worker")).toMatch(/worker_1 .*\| worker ready\n/);
  expect(await compose("logs", "web")).toMatch(/web_1 .*\| started 1\n(.*\n)*web_1 .*\| web found the store\n/);
  expect(await inside("worker", "wget", "-qO-", "http://web/")).toBe("page");
  expect(await inside("web", "wget", "-qO-", "http://job_store_1/")).toBe("started 1");
  // The worker has no network with the store.
  expect(await inside("worker", "sh", "-c", "wget -qO- http://store/ || echo unknown")).toContain("unknown");
  const address = (await compose("port", "web", "80")).trim();
  expect(daemon.run("curl", "-sf", `http://${address}/`).out).toBe("page\n");
}, 100_000);

test("a second up changes nothing", async () => {
  const before = await compose("ps", "-q");
  expect(await compose("up", "-d")).toMatch(/job_store_1 is up-to-date\n/);
  expect(await compose("ps", "-q")).toBe(before);
}, 100_000);

test("exec, run, top, pause and scale", async () => {
  expect(await inside("web", "sh", "-c", "echo $HOSTNAME; hostname")).toMatch(/^([0-9a-f]{12})\n\1$/);
  await expect(compose("exec", "-T", "web", "sh", "-c", "exit 7")).rejects.toThrow(": 7:");
  expect(await compose("run", "--rm", "worker", "wget", "-qO-", "http://web/")).toContain("page\n");
  expect(await compose("top", "worker")).toContain("sleep 1000");
  await compose("pause", "worker");
  expect(await compose("ps", "worker")).toContain("Paused");
  await compose("unpause", "worker");
  await compose("up", "-d", "--scale", "worker=3");
  expect((await compose("ps", "-q", "worker")).trim().split("\n")).toHaveLength(3);
  const { out } = daemon.run("docker", "exec", "job_web_1", "nslookup", "-type=a", "worker", "127.0.0.11");
  expect(new Set(out.match(/(?<=Address: )(?!127)[\d.]+/g))).toHaveProperty("size", 3);
  await compose("up", "-d", "--scale", "worker=1");
  expect((await compose("ps", "-q", "worker")).trim().split("\n")).toHaveLength(1);
}, 100_000);

test("restart keeps the container, stop and start keep its data", async () => {
  const before = await idOf("store");
  await compose("restart", "-t", "5", "store");
  expect(await idOf("store")).toBe(before);
  await until("the store serves", () =>
    inside("web", "wget", "-qO-", "http://store/").then(
      (text) => text === "started 1\nstarted 1",
      () => false,
    ),
  );
  await compose("stop", "-t", "5");
  expect(daemon.docker("ps", "-q")).toBe("");
  await compose("start");
  expect(await inside("store", "cat", "/data/starts")).toBe("started 1\nstarted 1\nstarted 1");
}, 100_000);

test("changed settings make a new container, with the same volumes and names", async () => {
  const before = await idOf("store");
  const web = await idOf("web");
  const mounts = (id: string): string =>
    daemon.docker("inspect", "-f", "{{range .Mounts}}{{.Name}} {{.Destination}}\n{{end}}", id);
  const volumes = mounts(before).split("\n").sort();
  round = 2;
  await compose("up", "-d", "store");
  const after = await idOf("store");
  expect(after).not.toBe(before);
  expect(await idOf("web")).toBe(web);
  // Also the volume without a name.
  expect(mounts(after).split("\n").sort()).toEqual(volumes);
  await until("the new store serves", () =>
    inside("web", "wget", "-qO-", "http://storage/").then(
      (text) => text.endsWith("started 2"),
      () => false,
    ),
  );
  await compose("up", "-d", "--force-recreate");
  expect(await idOf("web")).not.toBe(web);
  expect(await inside("worker", "wget", "-qO-", "http://web/")).toBe("page");
}, 100_000);

test("down removes everything, and a second run begins anew", async () => {
  await compose("down", "-v", "-t", "5");
  expect(daemon.docker("ps", "-aq")).toBe("");
  // The volume without a name was given to the new container by its name. So it stays, as with dockerd.
  expect(daemon.docker("volume", "ls", "-q", "--filter", "name=job")).toBe("");
  expect(daemon.docker("network", "ls", "--format", "{{.Name}}").split("\n").sort()).toEqual([
    "bridge",
    "host",
    "none",
  ]);
  await compose("up", "-d");
  expect(await inside("store", "cat", "/data/starts")).toBe("started 2");
  await compose("down", "-v", "-t", "5");
  expect(daemon.docker("ps", "-aq")).toBe("");
}, 100_000);
