/** The process `fathom registry serve`: logins over TLS, restarts, a full disk, garbage collection by signal. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { serverPair, testAuthority } from "@fathom/base/testing";
import { sha256Digest } from "@fathom/spec";
import { createSys, MNT_DETACH } from "@fathom/sys";
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, TestDaemon, until } from "../daemon/harness.ts";
import { curl, expectSuccess, startRegistry, type RegistryProcess } from "./support.ts";

const sys = createSys();
let daemon: TestDaemon;
const started: RegistryProcess[] = [];
let disk: string;

beforeAll(async () => {
  daemon = new TestDaemon("registry-serve");
  await daemon.start();
  daemon.loadImage();
  disk = join(daemon.work, "disk");
  mkdirSync(disk);
  sys.mount("tmpfs", disk, "tmpfs", 0, "size=24m,mode=700");
}, 60_000);

afterAll(async () => {
  for (const { process } of started) {
    process.kill("SIGKILL");
    await process.exited;
  }
  await daemon.close(() => sys.umount(disk, MNT_DETACH));
}, 60_000);

async function start(port: number, root: string, ...flags: string[]): Promise<RegistryProcess> {
  const registry = await startRegistry(daemon, port, root, ...flags);
  started.push(registry);
  return registry;
}

test("docker logs in over TLS, pushes with a token, and without a login it may not", async () => {
  const path = (name: string, text: string): string => {
    writeFileSync(join(daemon.work, name), text);
    return join(daemon.work, name);
  };
  const hash = (await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 5 })).replace("$2b$", "$2y$");
  const audit = join(daemon.work, "audit.log");
  const { address } = await start(
    5443,
    join(daemon.work, "tls"),
    "--tls-cert",
    path("cert.pem", serverPair.certificate),
    "--tls-key",
    path("key.pem", serverPair.key),
    "--htpasswd",
    path("htpasswd", `anna:${hash}\n`),
    "--audit-log",
    audit,
    "--immutable-tags",
    "*:v*",
  );
  path("ca.pem", testAuthority);
  const name = `${address}/app:v1`;
  daemon.docker("tag", daemon.image, name);
  expect(daemon.run("docker", "push", name).code).not.toBe(0);
  expect(daemon.run("docker", "login", "-u", "anna", "-p", "wrong", address).code).not.toBe(0);
  expectSuccess(daemon.run("docker", "login", "-u", "anna", "-p", "secret", address));
  expect(daemon.docker("push", name)).toContain("digest: sha256:");
  daemon.docker("rmi", name);
  expect(daemon.docker("pull", name)).toContain("Status: Downloaded newer image");
  daemon.docker("run", "--name", "changed", daemon.image, "touch", "/changed");
  daemon.docker("commit", "changed", name);
  daemon.docker("rm", "changed");
  const again = daemon.run("docker", "push", name);
  expect(again.code).not.toBe(0);
  expect(again.err + again.out).toContain("immutable");
  const lines = readFileSync(audit, "utf8").trim().split("\n");
  const entries = lines.map((line) => JSON.parse(line) as { action: string; user?: string; status: number });
  expect(entries).toContainEqual(expect.objectContaining({ action: "push-manifest", user: "anna", status: 201 }));
  expect(entries.some(({ status }) => status === 401)).toBe(true);
});

test("an upload and all content survive the end of the process", async () => {
  const root = join(daemon.work, "restart");
  const first = await start(5002, root);
  const post = curl(daemon, "-X", "POST", `http://${first.address}/v2/r/blobs/uploads/`);
  const location = `http://${first.address}${post.fields.get("location")}`;
  expect(curl(daemon, "-X", "PATCH", "-d", "hel", location).status).toBe(202);
  first.process.kill("SIGKILL");
  await first.process.exited;
  const second = await start(5002, root);
  expect(curl(daemon, location).fields.get("range")).toBe("0-2");
  const digest = sha256Digest("hello");
  expect(curl(daemon, "-X", "PUT", "-d", "lo", `${location}?digest=${digest}`).status).toBe(201);
  second.process.kill("SIGTERM");
  expect(await second.process.exited).toBe(0);
  const third = await start(5002, root);
  expect(curl(daemon, `http://${third.address}/v2/r/blobs/${digest}`).body).toBe("hello");
  const other = daemon.run(binary, "registry", "serve", "--addr", "127.0.0.1:5003", "--root", root);
  expect([other.code, other.err]).toEqual([1, expect.stringContaining("another registry uses")]);
});

test("on a full disk a push is 507 and leaves nothing; then smaller ones and all reads succeed", async () => {
  const { address } = await start(5004, disk);
  const small = join(daemon.work, "small");
  const large = join(daemon.work, "large");
  writeFileSync(small, Buffer.alloc(8 << 20, "s"));
  writeFileSync(large, Buffer.alloc(20 << 20, "l"));
  const push = (file: string): number => {
    const url = `http://${address}/v2/r/blobs/uploads/?digest=${sha256Digest(readFileSync(file))}`;
    return curl(daemon, "-X", "POST", "-H", "Expect:", "--data-binary", `@${file}`, url).status;
  };
  expect(push(small)).toBe(201);
  for (let n = 0; n < 3; n++) expect(push(large)).toBe(507);
  expect(readdirSync(join(disk, "uploads"))).toEqual([]);
  expect(push(small)).toBe(201);
  expect(curl(daemon, "-I", `http://${address}/v2/r/blobs/${sha256Digest(readFileSync(small))}`).status).toBe(200);
});

test("USR1 collects garbage while it serves; a dry run removes nothing", async () => {
  const root = join(daemon.work, "collect");
  const digest = sha256Digest("unused");
  const hex = digest.slice("sha256:".length);
  const blob = join(root, "blobs/sha256", hex.slice(0, 2), hex);
  const link = join(root, "repositories/r/_links/sha256", hex);
  const age = (): void => [blob, link].forEach((path) => utimesSync(path, 1, 1));
  const collections = (address: string): number => {
    const { body } = curl(daemon, `http://${address}/metrics`);
    return Number(/^fathom_registry_collections_total (\d+)$/m.exec(body)?.[1] ?? 0);
  };
  const collected = async ({ address, process }: RegistryProcess): Promise<void> => {
    process.kill("SIGUSR1");
    await until("a collection has ended", () => collections(address) === 1);
  };
  const dry = await start(5005, root, "--gc-interval", "0", "--gc-dry-run");
  const url = `http://${dry.address}/v2/r/blobs`;
  expect(curl(daemon, "-X", "POST", "-d", "unused", `${url}/uploads/?digest=${digest}`).status).toBe(201);
  age();
  await collected(dry);
  expect(curl(daemon, `${url}/${digest}`).status).toBe(200);
  dry.process.kill("SIGTERM");
  await dry.process.exited;
  const real = await start(5005, root, "--gc-interval", "0", "--gc-grace", "10m");
  age();
  await collected(real);
  expect(curl(daemon, `${url}/${digest}`).status).toBe(404);
  expect(readdirSync(join(root, "blobs/sha256", hex.slice(0, 2)))).toEqual([]);
});
