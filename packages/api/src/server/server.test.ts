import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until } from "@fathom/base/testing";
import { startTestServer, type TestServer } from "../testing/test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

async function message(response: Response): Promise<[number, unknown]> {
  const body = (await response.json()) as { message?: unknown };
  return [response.status, body.message];
}

describe("ping", () => {
  test("has the fields with which clients negotiate", async () => {
    const response = await server.fetch("/_ping");
    expect(await response.text()).toBe("OK");
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "api-version": "1.52",
      ostype: "linux",
      "docker-experimental": "false",
      swarm: "inactive",
      server: "Fathom/0.0.0-test (linux)",
      "cache-control": "no-cache, no-store, must-revalidate",
      pragma: "no-cache",
      "content-type": "text/plain; charset=utf-8",
    });
  });

  test("HEAD", async () => {
    const client = server.connect().send("HEAD /v1.47/_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
    const text = await client.all();
    expect(text).toStartWith("HTTP/1.1 200 OK\r\n");
    expect(text).toContain("Content-Length: 0\r\n");
    expect(text).toEndWith("\r\n\r\n");
  });
});

test("each request has a name while it runs, and /debug shows what the process measures", async () => {
  await (await server.fetch("/nosuch?one=1")).text();
  const { requests } = (await (await server.fetch("/v1.47/debug")).json()) as { requests: string[] };
  expect(requests.slice(-3)).toEqual(["GET /nosuch?one=1", "end GET /nosuch?one=1", "GET /v1.47/debug"]);
});

describe("endpoints that do not exist", () => {
  test.each([
    ["GET", "/nosuch"],
    ["GET", "/"],
    ["GET", "/v1.47"],
    ["GET", "/v1.47/"],
    ["POST", "/_ping"],
    ["DELETE", "/v1.47/version"],
    ["PUT", "/v1.47/containers/json"],
    ["GET", "/v1.47/containers/x/start"],
    ["GET", "/v1.47/containers/json/"],
    ["GET", "/1.47/info"],
  ])("%s %s is 404", async (method, path) => {
    expect(await message(await server.fetch(path, { method }))).toEqual([404, "page not found"]);
  });

  test.each([
    ["POST", "/plugins/pull"],
    ["POST", "/session"],
    ["GET", "/images/search"],
    ["POST", "/swarm/init"],
  ])("%s %s is 501 with an error that says this", async (method, path) => {
    const [status, text] = await message(await server.fetch(path, { method }));
    expect(status).toBe(501);
    expect(text).toContain("not implemented yet by Fathom");
  });

  test("no plugin is installed", async () => {
    expect(await (await server.fetch("/plugins")).json()).toEqual([]);
    expect(await (await server.fetch('/plugins?filters={"enabled":["true"]}')).json()).toEqual([]);
    expect((await server.fetch('/plugins?filters={"x":["true"]}')).status).toBe(400);
    for (const [method, path] of [
      ["GET", "/plugins/x/json"],
      ["DELETE", "/plugins/x"],
      ["POST", "/plugins/x/enable"],
      ["POST", "/plugins/x/set"],
    ] as const)
      expect(await message(await server.fetch(path, { method }))).toEqual([404, 'plugin "x" not found']);
  });

  test("swarm's own are 503", async () => {
    const [status, text] = await message(await server.fetch("/nodes"));
    expect(status).toBe(503);
    expect(text).toStartWith("This node is not a swarm manager.");
  });

  test("a container", async () => {
    expect(await message(await server.fetch("/v1.47/containers/a%20b/json"))).toEqual([404, "No such container: a b"]);
    expect(await message(await server.fetch("/containers/nosuch/stats"))).toEqual([404, "No such container: nosuch"]);
    expect(await message(await server.post("/containers/nosuch/attach?stream=1"))).toEqual([
      404,
      "No such container: nosuch",
    ]);
    expect(await message(await server.post("/exec/nosuch/start", {}))).toEqual([404, "No such exec instance: nosuch"]);
  });
});

test("versions out of range", async () => {
  expect((await message(await server.fetch("/v1.99/_ping")))[1]).toStartWith("client version 1.99 is too new.");
  expect((await message(await server.fetch("/v1.30/info")))[0]).toBe(400);
});

test("a long query and unknown parameters are accepted", async () => {
  const response = await server.fetch(`/v1.47/containers/json?nosuch=1&x=${"a".repeat(50_000)}`);
  expect([response.status, await response.json()]).toEqual([200, []]);
});

describe("bodies", () => {
  const create = (body: string | undefined, type?: string): Promise<Response> =>
    server.fetch("/v1.47/containers/create", {
      method: "POST",
      ...(body === undefined ? {} : { body }),
      headers: type === undefined ? {} : { "Content-Type": type },
    });
  const json = "application/json";

  test.each([
    ["", json, "invalid JSON: EOF"],
    ["{", json, "invalid JSON: unexpected EOF"],
    ['{"Image":"b"}{}', json, "unexpected content after JSON"],
    ["{}", json, "config cannot be empty in order to create a container"],
    ["null", json, "config cannot be empty in order to create a container"],
    ['{"Image":"b"}', "text/plain", "unsupported Content-Type header (text/plain): must be 'application/json'"],
  ])("%j as %s", async (body, type, text) => {
    expect(await message(await create(body, type))).toEqual([400, text]);
  });

  test("none at all", async () => {
    const client = server.connect().send("POST /containers/create HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
    expect(await client.all()).toContain('{"message":"invalid JSON: EOF"}');
  });

  test("a character set is allowed, an unknown field too", async () => {
    const response = await create('{"image":"busybox","NoSuchField":1}', "application/json; charset=utf-8");
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({ Warnings: [] });
  });

  test("a body that is too large is rejected", async () => {
    const response = await create(`{"Image":"${"x".repeat(9 * 1024 * 1024)}"}`, json);
    expect((await message(response))[1]).toContain("larger than the limit");
  });
});

describe("parameters", () => {
  let id: string;
  beforeAll(async () => {
    const created = await server.post("/containers/create?name=box", { Image: "busybox", Cmd: ["sleep", "1000"] });
    id = ((await created.json()) as { Id: string }).Id;
    expect((await server.post(`/containers/${id}/start`)).status).toBe(204);
  });

  test.each([
    ["POST", "/containers/box/wait?condition=nosuch", 'invalid condition: "nosuch"'],
    ["POST", "/containers/box/resize", 'invalid resize height "": invalid syntax'],
    ["GET", "/containers/box/logs", "must specify at least one of 'stdout' or 'stderr'"],
    ["GET", "/containers/box/archive", "bad parameter: path cannot be empty"],
    ["GET", "/containers/json?filters=%7B", "invalid filter"],
    ["GET", "/events?since=2&until=1", "`since` time (2) cannot be after `until` time (1)"],
    ["GET", "/system/df?type=nosuch", "unknown object type: nosuch"],
    ["POST", "/containers/box/start?checkpoint=a", undefined],
  ])("%s %s", async (method, path, text) => {
    const [status, got] = await message(await server.fetch(path, { method }));
    if (text === undefined) expect(status).toBe(501);
    else expect([status, got]).toEqual([400, text]);
  });

  test("an action that changes nothing is 304 without a body", async () => {
    const response = await server.post(`/containers/${id}/start`);
    expect([response.status, await response.text()]).toEqual([304, ""]);
  });

  test("No exec command", async () => {
    expect(await message(await server.post("/containers/box/exec", {}))).toEqual([400, "No exec command specified"]);
  });
});

describe("answers by version", () => {
  test("a list", async () => {
    const [old] = (await (await server.fetch("/v1.40/containers/json")).json()) as Record<string, unknown>[];
    const [middle] = (await (await server.fetch("/v1.46/containers/json")).json()) as Record<string, unknown>[];
    const [newest] = (await (await server.fetch("/containers/json")).json()) as Record<string, unknown>[];
    expect(old).not.toHaveProperty("Health");
    expect(old?.["HostConfig"]).toEqual({ NetworkMode: "bridge" });
    expect(middle?.["HostConfig"]).toHaveProperty("Annotations");
    expect(newest).toHaveProperty("Health");
  });

  test("info", async () => {
    const old = await (await server.fetch("/v1.46/info")).json();
    expect(old).toMatchObject({ BridgeNfIptables: false, RuncCommit: { Expected: "b" } });
    expect(old).not.toHaveProperty("FirewallBackend");
    expect(await (await server.fetch("/v1.52/info")).json()).toHaveProperty("FirewallBackend");
  });
});

test("read-only binds of clients below 1.44 are not recursive; updates below 1.55 change no limits of devices", async () => {
  const { create, update } = server.fake.containers;
  const seen: unknown[] = [];
  server.fake.containers.create = async (_name, _platform, _body, rules) => {
    seen.push(rules);
    return { Id: "x", Warnings: [] };
  };
  server.fake.containers.update = async (_name, body) => {
    seen.push(body);
    return { Warnings: null };
  };
  try {
    for (const version of ["/v1.43", "/v1.44", ""]) await server.post(`${version}/containers/create`, { Image: "x" });
    await server.post("/containers/x/update", { CpuShares: 5, BlkioDeviceReadBps: [{ Path: "/dev/sda", Rate: 1 }] });
  } finally {
    Object.assign(server.fake.containers, { create, update });
  }
  expect(seen).toEqual([
    { shallowReadOnlyBinds: true },
    { shallowReadOnlyBinds: false },
    { shallowReadOnlyBinds: false },
    { CpuShares: 5 },
  ]);
});

test("wait sends its head before the end", async () => {
  await server.post("/containers/create?name=waited", { Image: "busybox", Cmd: ["sleep", "1"] });
  const client = server.connect().send("POST /containers/waited/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\n\r\n");
  await client.until((text) => text.includes("\r\n\r\n"));
  expect(client.received).toContain("Transfer-Encoding: chunked");
  await server.post("/containers/waited/start");
  server.fake.containers.find("waited").process?.end(7);
  expect(await client.until((text) => text.endsWith("0\r\n\r\n"))).toContain('{"StatusCode":7}');
  client.close();
});

describe("streams of messages", () => {
  test("an error before the first message is a status", async () => {
    expect((await server.post("/images/create?fromImage=nosuch")).status).toBe(404);
  });

  test("a later error is the last line", async () => {
    const response = await server.post("/images/create?fromImage=broken");
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
    const lines = (await response.text()).trim().split("\r\n");
    expect(JSON.parse(lines.at(-1) ?? "")).toEqual({
      errorDetail: { message: "layer does not verify" },
      error: "layer does not verify",
    });
  });

  test("events keep all digits of their time, and have what their version knows", async () => {
    server.fake.events.events.length = 0;
    server.fake.events.add({
      status: "create",
      id: "a",
      from: "busybox",
      Type: "container",
      Action: "create",
      Actor: { ID: "a", Attributes: {} },
      scope: "local",
      time: 1_700_000_000,
      timeNano: 1_700_000_000_123_456_789n,
    });
    const line = async (path: string): Promise<[string | null, string]> => {
      const abort = new AbortController();
      const response = await server.fetch(path, { signal: abort.signal });
      const { value } = await response.body!.getReader().read();
      abort.abort();
      return [response.headers.get("content-type"), new TextDecoder().decode(value)];
    };
    const [oldType, old] = await line("/v1.47/events?since=0");
    expect(oldType).toBe("application/json");
    expect(old).toContain('"timeNano":1700000000123456789}\n');
    expect(JSON.parse(old)).toMatchObject({ status: "create", from: "busybox" });
    const [type, newest] = await line("/v1.52/events?since=0");
    expect(type).toBe("application/jsonl");
    expect(JSON.parse(newest)).not.toHaveProperty("status");
  });

  test("a client that hangs up ends the backend's stream", async () => {
    const client = server.connect().send("GET /events HTTP/1.1\r\nHost: d\r\n\r\n");
    await client.until((text) => text.includes("\r\n\r\n"));
    await until("the client listens", () => server.fake.events.listeners === 1);
    client.close();
    await until("nobody listens", () => server.fake.events.listeners === 0);
  });
});

test("explain passes on the name and the platform that a create would have", async () => {
  const answer = await server.post("/fathom/explain?name=one&platform=linux/arm64", { Image: "x" });
  expect(await answer.json()).toEqual({ Text: "the fake has no plan of one of x for linux/arm64\n" });
  expect((await server.post("/fathom/explain?platform=a/b/c/d", { Image: "x" })).status).toBe(400);
});
