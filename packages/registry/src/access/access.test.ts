import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { temporaryDirectory } from "@fathom/base/testing";
import { rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startTestRegistry, type TestRegistry } from "../testing/test-registry.ts";
import { Htpasswd } from "./htpasswd.ts";
import { readAccessRule, type AccessRule } from "./rules.ts";
import { readToken, signToken } from "./tokens.ts";
import { userAccess } from "./users.ts";

const directory = temporaryDirectory("registry-access");
const file = join(directory.path, "htpasswd");
const key = new Uint8Array(32).fill(7);
let clock = Date.now();
let registry: TestRegistry;
let users: Htpasswd;

/** As `htpasswd -B` writes it. */
async function line(user: string, password: string): Promise<string> {
  const hash = await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 });
  return `${user}:${hash.replace(/^\$2b\$/, "$2y$")}\n`;
}

const rules = ["ci=team/*:pull,push", "reader=*:pull", "*=shared:pull", "root=*:pull,push,delete"].map(
  (text): AccessRule => readAccessRule(text)!,
);

beforeAll(async () => {
  writeFileSync(file, (await line("ci", "c")) + (await line("reader", "r:colon")) + (await line("root", "x")));
  users = await Htpasswd.open(file);
  const access = userAccess({
    users,
    rules: { rules, anonymousPull: ["public/*"] },
    key,
    challenge: "token",
    now: () => clock,
  });
  registry = await startTestRegistry({ access });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const basic = (user: string, password: string): Record<string, string> => ({
  Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});
const upload = (repository: string, headers: Record<string, string> = {}): Promise<Response> =>
  registry.fetch("POST", `/v2/${repository}/blobs/uploads/`, { headers });

async function tokenFor(scope: string, headers: Record<string, string>): Promise<Record<string, string>> {
  const response = await registry.fetch("GET", `/token?service=fathom-registry&scope=${encodeURIComponent(scope)}`, {
    headers,
  });
  expect(response.status).toBe(200);
  const { token } = (await response.json()) as { token: string };
  return { Authorization: `Bearer ${token}` };
}

describe("logins with a password", () => {
  test("the right password, a wrong one, an unknown user, malformed credentials", async () => {
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await registry.fetch("GET", "/v2/", { headers })).status;
    expect(await status(basic("ci", "c"))).toBe(200);
    expect(await status(basic("reader", "r:colon"))).toBe(200);
    expect(await status(basic("ci", "wrong"))).toBe(401);
    expect(await status(basic("nobody", "c"))).toBe(401);
    for (const Authorization of ["Basic", "Basic !!", "Digest x", "Bearer x.y.z", "Bearer "])
      expect(await status({ Authorization })).toBe(401);
  });
  test("rights are per repository and action", async () => {
    expect((await upload("team/app", basic("ci", "c"))).status).toBe(202);
    expect((await upload("other", basic("ci", "c"))).status).toBe(403);
    expect((await upload("team/app", basic("reader", "r:colon"))).status).toBe(403);
    const remove = await registry.fetch("DELETE", "/v2/team/app/manifests/v1", { headers: basic("ci", "c") });
    expect(remove.status).toBe(403);
  });
  test("a changed file counts for the next unknown password; a broken one is an error with its line", async () => {
    const own = join(directory.path, "changing");
    writeFileSync(own, await line("a", "old"));
    const changing = await Htpasswd.open(own);
    const { signal } = new AbortController();
    expect(await changing.verify("a", "new", signal)).toBe(false);
    writeFileSync(own, await line("a", "new"));
    utimesSync(own, 1, 1);
    expect(await changing.verify("a", "new", signal)).toBe(true);
    writeFileSync(own, "a:{SHA}x\n");
    await expect(Htpasswd.open(own)).rejects.toThrow(":1: expected NAME:HASH with a hash of bcrypt");
    rmSync(own);
    await expect(Htpasswd.open(own)).rejects.toThrow("cannot read the password file");
  });
});

describe("without a login", () => {
  test("/v2/ says where to get a token", async () => {
    const response = await registry.fetch("GET", "/v2/");
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe(
      `Bearer realm="${registry.url}/token",service="fathom-registry"`,
    );
    expect(await response.json()).toMatchObject({ errors: [{ code: "UNAUTHORIZED" }] });
  });
  test("public repositories can be pulled; a push and other repositories ask for a token with the right scope", async () => {
    expect((await registry.fetch("GET", "/v2/public/x/manifests/v1")).status).toBe(404);
    const push = await upload("public/x");
    expect(push.status).toBe(401);
    expect(push.headers.get("www-authenticate")).toContain('scope="repository:public/x:pull,push"');
    const pull = await registry.fetch("GET", "/v2/team/app/manifests/v1");
    expect(pull.headers.get("www-authenticate")).toContain('scope="repository:team/app:pull"');
  });
});

describe("tokens", () => {
  test("a token has the asked rights that the user has, and no other", async () => {
    const headers = await tokenFor("repository:team/app:pull,push,delete repository:other:push", basic("ci", "c"));
    expect((await upload("team/app", headers)).status).toBe(202);
    expect((await upload("team/second", headers)).status).toBe(401);
    expect((await upload("other", headers)).status).toBe(401);
    expect((await registry.fetch("DELETE", "/v2/team/app/manifests/v1", { headers })).status).toBe(401);
    expect((await registry.fetch("GET", "/v2/", { headers })).status).toBe(200);
  });
  test("a wrong password gets none; nobody gets one for what is public", async () => {
    expect((await registry.fetch("GET", "/token", { headers: basic("ci", "wrong") })).status).toBe(401);
    expect((await registry.fetch("POST", "/token", { body: "grant_type=password" })).status).toBe(404);
    const headers = await tokenFor("repository:public/x:pull,push", {});
    expect((await registry.fetch("GET", "/v2/public/x/manifests/v1", { headers })).status).toBe(404);
    expect((await upload("public/x", headers)).status).toBe(401);
  });
  test("a token ends after its time, and a changed or foreign one is rejected", async () => {
    const headers = await tokenFor("repository:team/app:push", basic("ci", "c"));
    clock += 301_000;
    expect((await upload("team/app", headers)).status).toBe(401);
    const content = { user: "root", rights: [{ repository: "r", actions: ["push" as const] }], expires: 2_000_000_000 };
    const good = signToken(key, content);
    expect(readToken(key, good, 0)).toEqual(content);
    expect(readToken(new Uint8Array(32), good, 0)).toBeUndefined();
    const [head, body, signature] = good.split(".");
    const other = Buffer.from(JSON.stringify({ ...content, user: "admin" })).toString("base64url");
    expect(readToken(key, `${head}.${other}.${signature}`, 0)).toBeUndefined();
    const none = Buffer.from('{"alg":"none"}').toString("base64url");
    expect(readToken(key, `${none}.${body}.`, 0)).toBeUndefined();
  });
});

test("a mount needs the right to pull from the other repository", async () => {
  const root = basic("root", "x");
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update("secret").digest("hex")}`;
  const post = (path: string, headers: Record<string, string>, body?: string): Promise<Response> =>
    registry.fetch("POST", path, { headers, ...(body === undefined ? {} : { body }) });
  expect((await post(`/v2/hidden/blobs/uploads/?digest=${digest}`, root, "secret")).status).toBe(201);
  const mount = `/v2/team/app/blobs/uploads/?mount=${digest}&from=hidden`;
  expect((await post(mount, basic("ci", "c"))).status).toBe(202);
  expect((await registry.fetch("HEAD", `/v2/team/app/blobs/${digest}`, { headers: root })).status).toBe(404);
  expect((await post(mount, root)).status).toBe(201);
});

test("the catalog and the page show only what the client may pull", async () => {
  const catalog = async (headers: Record<string, string>): Promise<unknown> =>
    (await registry.fetch("GET", "/v2/_catalog", { headers })).json();
  expect(await catalog(basic("ci", "c"))).toEqual({ repositories: ["team/app"] });
  expect(await catalog(basic("root", "x"))).toEqual({ repositories: ["hidden", "team/app"] });
  const page = await registry.fetch("GET", "/");
  expect(page.status).toBe(401);
  expect(page.headers.get("www-authenticate")).toStartWith("Basic ");
  expect((await registry.fetch("GET", "/r/hidden", { headers: basic("ci", "c") })).status).toBe(401);
});

test("changes and rejected clients are in the audit log, pulls are not", async () => {
  const before = registry.audited.length;
  await registry.fetch("GET", "/v2/public/x/manifests/v1");
  await upload("team/app");
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update("audited").digest("hex")}`;
  const init = { headers: basic("ci", "c"), body: "audited" };
  await registry.fetch("POST", `/v2/team/app/blobs/uploads/?digest=${digest}`, init);
  expect(registry.audited.slice(before)).toEqual([
    {
      action: "POST uploads",
      user: undefined,
      remote: "127.0.0.1",
      repository: "team/app",
      reference: undefined,
      digest: undefined,
      status: 401,
    },
    {
      action: "push-blob",
      user: "ci",
      remote: "127.0.0.1",
      repository: "team/app",
      reference: undefined,
      digest,
      status: 201,
    },
  ] as never);
});

test("a rule has a user, a pattern and known actions", () => {
  expect(readAccessRule("a=b/*:pull,push")).toEqual({ user: "a", pattern: "b/*", actions: ["pull", "push"] });
  for (const text of ["a", "a=b", "a=b:", "a=b:fly", "=b:pull", "a=b:pull,"])
    expect(readAccessRule(text)).toBeUndefined();
});
