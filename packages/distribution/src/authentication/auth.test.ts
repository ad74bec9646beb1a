import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import { mediaTypes, parseReference, type Descriptor, type Reference } from "@fathom/spec";
import { openBlob } from "../blob.ts";
import { createRegistryClient } from "../client.ts";
import type { Credentials, RegistryClient, RegistryConfig } from "../contract.ts";
import { forgetSchemes } from "../endpoints.ts";
import { login } from "../login.ts";
import { respondError, ScriptedRegistry, type RecordedRequest } from "../testing/scripted-registry.ts";
import { failureOf } from "@fathom/base/testing";
import { defaultRegistryConfig } from "../testing/registry-config.ts";

const password = "s3cret-Pass";
const basic = `Basic ${Buffer.from(`ann:${password}`).toString("base64")}`;
const config: RegistryConfig = { ...defaultRegistryConfig, proxy: {}, certificateDirectories: [], attempts: 1 };

let registry: ScriptedRegistry;
let other: ScriptedRegistry;

beforeEach(async () => {
  forgetSchemes();
  registry = await ScriptedRegistry.start();
  other = await ScriptedRegistry.start();
});
afterEach(async () => {
  await registry[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

function client(credentials?: Credentials, more: Partial<RegistryConfig> = {}): RegistryClient {
  return createRegistryClient({ config: { ...config, ...more }, credentials });
}

function app(): Reference {
  return parseReference(`${registry.host}/team/app:1`);
}

function addImage(to: ScriptedRegistry = registry, name = "team/app:1"): Descriptor {
  const layer = to.addBlob(Buffer.from("layer bytes"));
  to.addManifest(name, mediaTypes.ociManifest, {
    schemaVersion: 2,
    config: to.addBlob(Buffer.from("{}"), mediaTypes.ociConfig),
    layers: [layer],
  });
  return layer;
}

function wants(request: RecordedRequest, header: string): boolean {
  return request.headers["authorization"] !== header;
}

describe("Basic", () => {
  beforeEach(() => {
    registry.script = (request, response) =>
      wants(request, basic) &&
      respondError(response, 401, "UNAUTHORIZED", "authentication required", {
        "www-authenticate": 'Basic realm="test"',
      });
  });
  test("the client sends credentials only after the registry asks for them, then with every request", async () => {
    addImage();
    const mine = client({ username: "ann", password });
    await mine.head(app());
    await mine.head(app());
    expect(registry.requests.map((request) => request.headers["authorization"])).toEqual([undefined, basic, basic]);
  });
  test("no credentials, or wrong ones", async () => {
    const none = await failureOf(client().head(app()));
    expect(none.message).toBe(`Head "${registry.url}/v2/team/app/manifests/1": no basic auth credentials`);
    const wrong = await failureOf(client({ username: "ann", password: "not it" }).head(app()));
    expect(wrong.message).toBe("unauthorized: authentication required");
    expect(wrong.code).toBe("unauthenticated");
    expect(JSON.stringify(wrong) + wrong.message + String(wrong.cause)).not.toContain("not it");
  });
  test("login", async () => {
    registry.script = (request, response) => {
      if (!wants(request, basic)) return response.writeHead(200).end() === response;
      return respondError(response, 401, "UNAUTHORIZED", "no", { "www-authenticate": 'Basic realm="test"' });
    };
    await login(registry.host, { username: "ann", password }, { config });
    const wrong = await failureOf(login(registry.host, { username: "ann", password: "x" }, { config }));
    expect(wrong.message).toBe(`login attempt to ${registry.url}/v2/ failed with status: 401 Unauthorized`);
  });
});

describe("Bearer", () => {
  let tokens: string[];
  beforeEach(() => {
    tokens = [];
    other.script = (request, response) => {
      const form = new URLSearchParams(new TextDecoder().decode(request.body));
      if (request.method === "POST" && form.get("refresh_token") !== "identity")
        return respondError(response, 401, "DENIED", "");
      tokens.push(request.path);
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ access_token: `token${tokens.length}`, expires_in: 300 }));
      return true;
    };
    registry.script = (request, response) =>
      wants(request, `Bearer token${Math.max(tokens.length, 1)}`) &&
      respondError(response, 401, "UNAUTHORIZED", "authentication required", {
        "www-authenticate": `Bearer realm="${other.url}/token",service="reg",scope="repository:team/app:pull"`,
      });
  });
  test("anonymous: one token for many requests, with service and scope", async () => {
    const layer = addImage();
    const mine = client();
    await mine.head(app());
    await mine.resolve(app(), undefined);
    for await (const _ of openBlob(mine.blobSource(app()), layer, new AbortController().signal));
    expect(tokens).toEqual(["/token?service=reg&scope=repository%3Ateam%2Fapp%3Apull"]);
    expect(other.requests[0]?.headers["authorization"]).toBeUndefined();
  });
  test("with a password: Basic at the token server, the token at the registry", async () => {
    addImage();
    await client({ username: "ann", password }).head(app());
    expect(other.requests[0]?.headers["authorization"]).toBe(basic);
    expect(tokens[0]).toContain("account=ann");
    expect(registry.requests.some((request) => request.headers["authorization"] === basic)).toBe(false);
  });
  test("with an identity token: OAuth2 POST", async () => {
    addImage();
    await client({ identityToken: "identity" }).head(app());
    expect(other.requests[0]?.method).toBe("POST");
    const wrong = await failureOf(client({ identityToken: "stolen" }).head(app()));
    expect(wrong.code).toBe("unauthenticated");
    expect(wrong.message).not.toContain("stolen");
  });
  test("the client fetches a new token when one has expired", async () => {
    addImage();
    const mine = client();
    await mine.head(app());
    other.requests.length = 0;
    const expired = tokens.length;
    registry.script = (request, response) =>
      wants(request, `Bearer token${expired + 1}`) &&
      respondError(response, 401, "UNAUTHORIZED", "expired", {
        "www-authenticate": `Bearer realm="${other.url}/token",service="reg",error="invalid_token"`,
      });
    await mine.head(app());
    expect(other.requests).toHaveLength(1);
  });
  test("a rejected new token is final; insufficient scope is a denial", async () => {
    registry.script = (_request, response) =>
      respondError(response, 401, "UNAUTHORIZED", "authentication required", {
        "www-authenticate": `Bearer realm="${other.url}/token",service="reg",error="insufficient_scope"`,
      });
    const error = await failureOf(client().resolve(app(), undefined));
    expect(error.reason).toBe("denied");
    expect(registry.requests).toHaveLength(2);
  });
  test("the client asks a busy token server again, and waits as long as the server wants", async () => {
    addImage();
    const answers = other.script;
    let asked = 0;
    other.script = (request, response, nth) => {
      if (++asked === 1) return respondError(response, 503, "UNAVAILABLE", "later");
      if (asked === 2) return respondError(response, 429, "TOOMANYREQUESTS", "slow down", { "retry-after": "7" });
      return answers(request, response, nth);
    };
    const sleeps: number[] = [];
    const clock = { ...systemClock, sleep: async (ms: number) => void sleeps.push(ms) };
    const mine = createRegistryClient({ config: { ...config, attempts: 3 }, clock });
    await mine.head(app());
    expect(sleeps).toHaveLength(2);
    expect(sleeps[1]).toBe(7000);
    asked = 0;
    const tired = createRegistryClient({ config: { ...config, attempts: 2 }, clock });
    const error = await failureOf(tired.resolve(app(), undefined));
    expect(error.message).toBe("toomanyrequests: slow down");
    expect(error.code).toBe("unavailable");
  });
  test("the client follows a token server that moved; the password stays with its host", async () => {
    addImage();
    const answers = other.script;
    const moved = await ScriptedRegistry.start();
    try {
      moved.script = answers;
      other.script = (request, response, nth) => {
        if (request.path.startsWith("/new")) return answers(request, response, nth);
        response.writeHead(307, { location: request.path.replace("/token", "/new") });
        response.end();
        return true;
      };
      await client({ username: "ann", password }).head(app());
      expect(other.requests.map((request) => request.headers["authorization"])).toEqual([basic, basic]);
      await client({ identityToken: "identity" }).head(app());
      expect(other.requests.at(-1)?.method).toBe("POST");
      other.script = (request, response) => {
        response.writeHead(307, { location: `${moved.url}${request.path}` });
        response.end();
        return true;
      };
      await client({ username: "ann", password }).head(app());
      expect(moved.requests).toHaveLength(1);
      expect(moved.requests[0]?.headers["authorization"]).toBeUndefined();
      const error = await failureOf(client({ identityToken: "identity" }).head(app()));
      expect(error.message).toContain("does not send the identity token there");
      expect(moved.requests).toHaveLength(1);
    } finally {
      await moved[Symbol.asyncDispose]();
    }
  });
  test("a hostile realm or token", async () => {
    const challenge = (realm: string) => {
      registry.script = (_request, response) =>
        respondError(response, 401, "UNAUTHORIZED", "x", { "www-authenticate": `Bearer realm="${realm}"` });
    };
    challenge("file:///etc/shadow");
    expect((await failureOf(client({ username: "ann", password }).head(app()))).message).toContain("no token server");
    challenge(`${other.url}/token`);
    other.script = (_request, response) => {
      response.end(JSON.stringify({ token: "a\r\nX-Evil: 1" }));
      return true;
    };
    expect((await failureOf(client().head(app()))).message).toContain("gave no token");
  });
});

test("a redirect to another host gets no Authorization, and the client receives the blob", async () => {
  const layer = addImage();
  addImage(other);
  registry.script = (request, response) => {
    if (wants(request, basic))
      return respondError(response, 401, "UNAUTHORIZED", "", { "www-authenticate": 'Basic realm="test"' });
    if (!request.path.includes("/blobs/")) return false;
    response.writeHead(307, { location: `${other.url}${request.path}?signature=abc` });
    response.end();
    return true;
  };
  other.script = (request, response) => {
    response.end(other.blobs.get(layer.digest));
    return request.path.includes("signature=abc");
  };
  const mine = client({ username: "ann", password });
  await mine.head(app());
  const parts: Uint8Array[] = [];
  for await (const chunk of openBlob(mine.blobSource(app()), layer, new AbortController().signal)) parts.push(chunk);
  expect(Buffer.concat(parts).toString()).toBe("layer bytes");
  expect(other.requests).toHaveLength(1);
  expect(other.requests[0]?.headers["authorization"]).toBeUndefined();
});

test("the client sends a registry token unchanged", async () => {
  addImage();
  await client({ registryToken: "given" }).head(app());
  expect(registry.requests[0]?.headers["authorization"]).toBe("Bearer given");
});

describe("mirrors", () => {
  const alpine = parseReference("alpine:3");
  test("the client uses a mirror that has the image, without the credentials of docker.io", async () => {
    addImage(other, "library/alpine:3");
    other.script = (request, response) =>
      request.headers["authorization"] !== undefined && respondError(response, 400, "X", "leak");
    registry.script = (_request, response) => respondError(response, 500, "UNKNOWN", "mirror is down");
    const mine = client({ username: "ann", password }, { mirrors: [`${registry.url}/`, other.url] });
    const image = await mine.resolve(alpine, undefined);
    expect(image.image.layers).toHaveLength(1);
    expect(registry.requests).toHaveLength(1);
    // From now on the client asks the mirror that answered first.
    await mine.head(alpine);
    expect(registry.requests).toHaveLength(1);
  });
  test("the client does not ask mirrors for other registries", async () => {
    addImage();
    await client(undefined, { mirrors: [other.url] }).head(app());
    expect(other.requests).toHaveLength(0);
  });
});

test("the client uses an HTTP proxy, with its credentials, and never for loopback", async () => {
  addImage();
  other.script = (request, response) => {
    response.writeHead(200, {
      "docker-content-digest": `sha256:${"0".repeat(64)}`,
      "content-length": "2",
      "content-type": mediaTypes.ociManifest,
    });
    response.end();
    return request.path.startsWith("http://registry.test/");
  };
  const mine = client(undefined, {
    insecureRegistries: ["registry.test"],
    proxy: { http: `http://u:p@${other.host}`, https: "http://127.0.0.1:1" },
  });
  await mine.head(parseReference("registry.test/a:1"));
  expect(other.requests[0]?.headers["proxy-authorization"]).toBe(`Basic ${btoa("u:p")}`);
  await mine.head(app());
  expect(other.requests).toHaveLength(1);
});

test("pushes a blob and a manifest; does not send a blob that the registry has", async () => {
  const stored: string[] = [];
  registry.script = (request, response) => {
    if (request.method === "POST") response.writeHead(202, { location: "/v2/team/app/blobs/uploads/u1?state=x" });
    else if (request.method === "PUT") {
      stored.push(`${request.path} ${request.headers["content-length"]} ${new TextDecoder().decode(request.body)}`);
      response.writeHead(201);
    } else return false;
    response.end();
    return true;
  };
  const data = Buffer.from("new layer");
  const descriptor = { ...other.addBlob(data), mediaType: mediaTypes.ociLayer };
  const open = (): ReadableStream<Uint8Array> => new Blob([data]).stream();
  expect(await client().pushBlob(app(), { descriptor, open })).toBe("pushed");
  const query = new URLSearchParams({ state: "x", digest: descriptor.digest });
  expect(stored).toEqual([`/v2/team/app/blobs/uploads/u1?${query} 9 new layer`]);
  registry.blobs.set(descriptor.digest, data);
  expect(await client().pushBlob(app(), { descriptor, open })).toBe("exists");
  await client().pushManifest(app(), mediaTypes.ociManifest, Buffer.from("{}"));
  expect(stored[1]).toBe("/v2/team/app/manifests/1 2 {}");
});
