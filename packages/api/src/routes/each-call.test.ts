/**
 * Each call that the server makes of its backend fails once, and hangs once while its client hangs up: the client gets the reason, and the
 * server keeps nothing.
 */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { EngineError } from "@fathom/base";
import type { Backend } from "@fathom/engine";
import type { ContainerCreateRequest, ExecCreateRequest } from "@fathom/spec";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body?: object | string;
}

const get = (path: string): Request => ({ method: "GET", path });
const post = (path: string, body?: object | string): Request => ({
  method: "POST",
  path,
  ...(body === undefined ? {} : { body }),
});
const remove = (path: string): Request => ({ method: "DELETE", path });

/** One request for each call; the type makes the compiler report missing calls. `EXEC` is an exec's id. "box" runs, "new" was created. */
const requests: { readonly [Area in keyof Backend]: { readonly [Call in keyof Backend[Area]]: Request } } = {
  system: {
    version: get("/version"),
    info: get("/info"),
    diskUsage: get("/system/df"),
    events: get("/events"),
    authenticate: post("/auth", { username: "somebody" }),
  },
  containers: {
    list: get("/containers/json"),
    create: post("/containers/create?name=other", { Image: "x" }),
    explain: post("/fathom/explain", { Image: "x" }),
    inspect: get("/containers/box/json"),
    start: post("/containers/new/start"),
    stop: post("/containers/box/stop"),
    restart: post("/containers/box/restart"),
    kill: post("/containers/box/kill"),
    wait: post("/containers/box/wait"),
    remove: remove("/containers/new"),
    rename: post("/containers/new/rename?name=other"),
    pause: post("/containers/box/pause"),
    unpause: post("/containers/box/unpause"),
    update: post("/containers/box/update", {}),
    resize: post("/containers/box/resize?h=1&w=1"),
    top: get("/containers/box/top"),
    stats: get("/containers/box/stats"),
    changes: get("/containers/box/changes"),
    attach: post("/containers/box/attach?stream=1&stdout=1"),
    logs: get("/containers/box/logs?stdout=1"),
    prune: post("/containers/prune"),
    archiveStat: { method: "HEAD", path: "/containers/box/archive?path=/x" },
    archiveGet: get("/containers/box/archive?path=/x"),
    archivePut: { method: "PUT", path: "/containers/box/archive?path=/x" },
    export: get("/containers/box/export"),
    commit: post("/commit?container=box", {}),
  },
  execs: {
    create: post("/containers/box/exec", { Cmd: ["cat"] }),
    inspect: get("/exec/EXEC/json"),
    start: post("/exec/EXEC/start", {}),
    resize: post("/exec/EXEC/resize?h=1&w=1"),
  },
  images: {
    list: get("/images/json"),
    inspect: get("/images/x/json"),
    history: get("/images/x/history"),
    tag: post("/images/x/tag?repo=y"),
    remove: remove("/images/x"),
    prune: post("/images/prune"),
    pull: post("/images/create?fromImage=x"),
    push: post("/images/x/push"),
    load: post("/images/load", "[]"),
    save: get("/images/x/get"),
    import: post("/images/create?fromSrc=-", "tar"),
  },
  builds: {
    build: post("/build?t=x", "tar"),
    cancel: post("/build/cancel?id=x"),
    prune: post("/build/prune"),
  },
  volumes: {
    list: get("/volumes"),
    create: post("/volumes/create", {}),
    inspect: get("/volumes/data"),
    remove: remove("/volumes/data"),
    prune: post("/volumes/prune"),
  },
  networks: {
    list: get("/networks"),
    inspect: get("/networks/bridge"),
    create: post("/networks/create", { Name: "front" }),
    remove: remove("/networks/front"),
    prune: post("/networks/prune"),
    connect: post("/networks/bridge/connect", { Container: "box" }),
    disconnect: post("/networks/bridge/disconnect", { Container: "box" }),
  },
};

const calls: readonly (readonly [string, Request])[] = Object.entries(requests).flatMap(([area, ofArea]) =>
  Object.entries(ofArea).map(([call, request]) => [`${area}.${call}`, request] as const),
);

/** These have answered already: the failure is the last line of the stream. */
const answersFirst = new Set(["images.load"]);
/** It cannot hang, because it is not an asynchronous call. */
const answersAtOnce = new Set(["system.version", "system.events"]);

const execRequest: ExecCreateRequest = {
  Cmd: ["cat"],
  User: "",
  Privileged: false,
  Tty: false,
  DetachKeys: "",
  AttachStdin: false,
  AttachStdout: true,
  AttachStderr: true,
  Env: null,
  WorkingDir: "",
};

const created: ContainerCreateRequest = {
  ...emptyContainerConfig,
  Image: "x",
  Cmd: ["sleep"],
  HostConfig: emptyHostConfig,
  NetworkingConfig: { EndpointsConfig: {} },
};

/** Returns the server, and the bytes of the request on a connection. */
async function open({ method, path, body }: Request): Promise<{ server: TestServer; head: string }> {
  const server = await startTestServer();
  for (const name of ["box", "new"]) await server.fake.containers.create(name, undefined, created);
  await server.fake.containers.start("box");
  await server.fake.images.tag(server.fake.images.add("x").id, "x", undefined);
  await server.fake.volumes.create({ Name: "data", Driver: "", DriverOpts: null, Labels: null });
  const exec = await server.fake.execs.create("box", execRequest);
  server.fake.faults.forget();
  const text = typeof body === "string" ? body : body === undefined ? "" : JSON.stringify(body);
  const fields = text === "" ? "" : `Content-Type: application/json\r\nContent-Length: ${text.length}\r\n`;
  return {
    server,
    head: `${method} ${path.replace("EXEC", exec.Id)} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n${fields}\r\n${text}`,
  };
}

test.each(calls)("%s fails, and the client gets the reason", async (name, request) => {
  const { server, head } = await open(request);
  await using _ = server;
  server.fake.faults.failNext(name, new EngineError("conflict", "as the test planned"));
  const answer = await server.connect().send(head).all();
  expect(server.fake.faults.done).toBe(true);
  expect(answer).toStartWith(`HTTP/1.1 ${answersFirst.has(name) ? 200 : 409} `);
  if (request.method !== "HEAD") expect(answer).toContain("as the test planned");
});

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

test.each(calls.filter(([name]) => !answersAtOnce.has(name)))(
  "%s hangs, others are answered, and nothing of a client that hangs up stays",
  async (name, request) => {
    const { server, head } = await open(request);
    await using _ = server;
    const before = openDescriptors();
    const hang = server.fake.faults.hangNext(name);
    const client = server.connect().send(head);
    await hang.reached;
    const ping = "GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
    expect(await server.connect().send(ping).all()).toEndWith("OK");
    client.close();
    hang.goOn();
    // The program in "box" waits, so only the client ends a stream of it.
    for (let tries = 0; tries < 400 && (server.server.connectionCount > 0 || openDescriptors() > before); tries++)
      await Bun.sleep(5);
    expect([server.server.connectionCount, openDescriptors() - before]).toEqual([0, 0]);
  },
);
