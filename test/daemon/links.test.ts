/** `--link` with real containers: in the default network through environment and hosts file, in a user's network through the resolver. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("links");
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

const addressOf = (name: string): string =>
  daemon.docker("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", name);

test("environment, hosts file, exec, inspect, ps and rm --link, with the docker CLI", async () => {
  daemon.docker("run", "-d", "--name", "db", "--expose", "5432", "-e", "USER=me", daemon.image, "sleep", "1000");
  daemon.docker("run", "-d", "--name", "web", "--link", "db:store", daemon.image, "sh", "-c", "env >/env; sleep 1000");
  const address = addressOf("db");
  const exec = (...command: string[]): string => daemon.docker("exec", "web", ...command);
  expect(exec("sh", "-c", "until [ -s /env ]; do :; done; cat /env").split("\n")).toEqual(
    expect.arrayContaining([
      `STORE_PORT=tcp://${address}:5432`,
      `STORE_PORT_5432_TCP_ADDR=${address}`,
      "STORE_NAME=/web/store",
      "STORE_ENV_USER=me",
    ]),
  );
  expect(exec("env")).toContain(`STORE_PORT_5432_TCP_ADDR=${address}`);
  exec("ping", "-c1", "-w5", "store");
  const short = daemon.docker("inspect", "-f", "{{.Id}}", "db").slice(0, 12);
  expect(exec("cat", "/etc/hosts")).toEndWith(`${address}\tstore ${short} db`);
  expect(daemon.docker("inspect", "-f", "{{.HostConfig.Links}}", "web")).toBe("[/db:/web/store]");
  expect(daemon.docker("ps", "--no-trunc", "--format", "{{.Names}}").split("\n").toSorted()).toEqual([
    "db,web/store",
    "web",
  ]);
  daemon.docker("stop", "-t0", "db");
  // Another container takes the address.
  await until("another container gets the address", () => {
    daemon.cli("rm", "-f", "other");
    daemon.docker("run", "-d", "--name", "other", daemon.image, "sleep", "1000");
    return addressOf("other") === address;
  });
  daemon.docker("start", "db");
  expect(addressOf("db")).not.toBe(address);
  expect(exec("cat", "/etc/hosts")).toEndWith(`${addressOf("db")}\tstore ${short} db`);
  exec("ping", "-c1", "-w5", "store");
  daemon.docker("rm", "--link", "web/store");
  expect(exec("cat", "/etc/hosts")).not.toContain("store");
  expect(daemon.docker("inspect", "-f", "{{.HostConfig.Links}}", "web")).toBe("[]");
  daemon.docker("rm", "-f", "db", "web", "other");
});

test("a link to a stopped or missing container is an error in Docker's words", () => {
  daemon.docker("create", "--name", "db", daemon.image, "true");
  const stopped = daemon.cli("run", "--name", "web", "--link", "db", daemon.image, "true");
  expect([stopped.code, stopped.err]).toEqual([
    125,
    expect.stringContaining("Cannot link to a non running container: /db AS /web/db"),
  ]);
  const missing = daemon.cli("run", "--link", "nobody:x", daemon.image, "true");
  expect([missing.code, missing.err]).toEqual([
    125,
    expect.stringContaining("could not get container for nobody: No such container: nobody"),
  ]);
  daemon.docker("rm", "-f", "db", "web");
});

test("in a user's network a link is a name that only its container knows", () => {
  daemon.docker("network", "create", "front");
  daemon.docker("run", "-d", "--name", "db", "--network", "front", daemon.image, "sleep", "1000");
  daemon.docker(
    "run",
    "-d",
    "--name",
    "web",
    "--network",
    "front",
    "--link",
    "db:store",
    daemon.image,
    "sleep",
    "1000",
  );
  daemon.docker("run", "-d", "--name", "late", daemon.image, "sleep", "1000");
  daemon.docker("network", "connect", "--link", "db:shop", "front", "late");
  const reaches = (container: string, name: string): number =>
    daemon.cli("exec", container, "ping", "-c1", "-w5", name).code;
  expect([reaches("web", "store"), reaches("late", "shop")]).toEqual([0, 0]);
  expect([reaches("db", "store"), reaches("web", "shop")]).toEqual([1, 1]);
  daemon.docker("rm", "-f", "db", "web", "late");
  daemon.docker("network", "rm", "front");
});
