import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { createSys } from "@fathom/sys";
import { headWasRead } from "./hijack.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import type { RawClient } from "../testing/raw-client.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  // The connection that fetch keeps is counted from the start.
  await (await server.fetch("/_ping")).text();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const openDescriptors = (): number => readdirSync("/proc/self/fd").length;
let before = 0;
beforeEach(() => {
  before = openDescriptors();
});
afterEach(async () => {
  // Nothing that a test opened may stay; closing takes a moment.
  for (let tries = 0; tries < 200 && openDescriptors() > before; tries++) await Bun.sleep(10);
  expect(openDescriptors()).toBeLessThanOrEqual(before);
});

async function container(name: string, command: string[], tty = false, stdinOnce = true): Promise<void> {
  const response = await server.post(`/containers/create?name=${name}`, {
    Image: "x",
    Cmd: command,
    OpenStdin: true,
    StdinOnce: stdinOnce,
    Tty: tty,
  });
  expect(response.status).toBe(201);
}

function attach(name: string, options: { upgrade: boolean; version?: string; query?: string }): RawClient {
  const query = options.query ?? "stream=1&stdin=1&stdout=1&stderr=1";
  return server
    .connect()
    .send(
      `POST ${options.version ?? ""}/containers/${name}/attach?${query} HTTP/1.1\r\nHost: d\r\n${options.upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n" : ""}Content-Length: 0\r\n\r\n`,
    );
}

const frame = "\u0001\u0000\u0000\u0000\u0000\u0000\u0000";

describe("attach", () => {
  test("with Upgrade: 101, input, half-close, output", async () => {
    await container("up", ["cat"]);
    await server.post("/containers/up/start");
    const client = attach("up", { upgrade: true });
    expect(await client.until((text) => text.endsWith("\r\n\r\n"))).toBe(
      "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    );
    client.send("hello\n").halfClose();
    expect(await client.all()).toEndWith(`${frame}\u0006hello\n`);
  });

  test("without: 200 and raw bytes", async () => {
    await container("plain", ["cat"]);
    await server.post("/containers/plain/start");
    const client = attach("plain", { upgrade: false });
    client.send("hello\n").halfClose();
    expect(await client.all()).toBe(
      `HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n${frame}\u0006hello\n`,
    );
  });

  test("input that arrives with the request itself is not lost", async () => {
    await container("early", ["cat"]);
    await server.post("/containers/early/start");
    const client = server
      .connect()
      .send(
        "POST /containers/early/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\nearly\n",
      )
      .halfClose();
    expect(await client.all()).toEndWith(`${frame}\u0006early\n`);
  });

  test("a body is no input", async () => {
    await container("body", ["cat"]);
    await server.post("/containers/body/start");
    const client = server
      .connect()
      .send(
        'POST /containers/body/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 15\r\n\r\n{"stream":true}early\n',
      )
      .halfClose();
    expect(await client.all()).toEndWith(`\r\n\r\n${frame}\u0006early\n`);
  });

  test.each([
    ["/v1.41", false, "raw"],
    ["/v1.42", false, "multiplexed"],
    ["/v1.47", true, "raw"],
  ])("the type for %s, tty %s, is %s", async (version, tty, type) => {
    const name = `type${version.slice(-2)}`;
    await container(name, ["echo", "x"], tty);
    const client = attach(name, { upgrade: true, version });
    await client.until((text) => text.endsWith("\r\n\r\n"));
    expect(client.received).toContain(`application/vnd.docker.${type}-stream`);
    await server.post(`/containers/${name}/start`);
    expect(await client.all()).toEndWith("x\n");
  });

  test("before the start: the head comes at once, the stream with the start", async () => {
    await container("later", ["echo", "started"]);
    const client = attach("later", { upgrade: true });
    await client.until((text) => text.endsWith("\r\n\r\n"));
    await server.post("/containers/later/start");
    expect(await client.all()).toEndWith(`${frame}\u0008started\n`);
  });

  test("of a container that is removed before its start", async () => {
    await container("gone", ["echo", "x"]);
    const client = attach("gone", { upgrade: true });
    await client.until((text) => text.endsWith("\r\n\r\n"));
    await server.fetch("/containers/gone", { method: "DELETE" });
    expect(await client.all()).toEndWith("\r\n\r\n");
  });

  test("detach keys end the connection and not the process", async () => {
    await container("keys", ["cat"], false, false);
    await server.post("/containers/keys/start");
    const client = attach("keys", { upgrade: true, query: "stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,x" });
    await client.until((text) => text.endsWith("\r\n\r\n"));
    client.send("a\u0001");
    await client.until((text) => text.endsWith("\u0001a"));
    client.send("xlost");
    expect(await client.all()).not.toContain("lost");
    expect(server.fake.containers.find("keys").process?.running).toBe(true);
    expect(server.fake.containers.find("keys").detached).toBe(1);
    server.fake.containers.find("keys").process?.end(0);
  });

  test("without stdin the client's bytes are dropped, and its half-close does not end the output", async () => {
    await container("deaf", ["cat"]);
    await server.post("/containers/deaf/start");
    const client = attach("deaf", { upgrade: true, query: "stream=1&stdout=1" });
    client.send("ignored").halfClose();
    await client.until((text) => text.endsWith("\r\n\r\n"));
    // sleep: the bytes that must be ignored arrive meanwhile
    await Bun.sleep(30);
    server.fake.containers.find("deaf").process?.print(1, "out");
    await client.until((text) => text.endsWith("out"));
    server.fake.containers.find("deaf").process?.end(0);
    expect(await client.all()).not.toContain("ignored");
  });

  test("logs only", async () => {
    await container("logged", ["complain", "why"]);
    await server.post("/containers/logged/start");
    const client = attach("logged", { upgrade: false, query: "logs=1&stdout=1&stderr=1" });
    expect(await client.all()).toEndWith(`${frame}\u0004out\n\u0002\u0000\u0000\u0000\u0000\u0000\u0000\u0004why\n`);
  });

  test("a client that leaves ends its side", async () => {
    await container("left", ["cat"]);
    await server.post("/containers/left/start");
    const client = attach("left", { upgrade: true, query: "stream=1&stdout=1" });
    await client.until((text) => text.endsWith("\r\n\r\n"));
    client.close();
    // sleep: the server notices the hangup meanwhile; both orders must work
    await Bun.sleep(20);
    const process = server.fake.containers.find("left").process;
    for (let index = 0; index < 20; index++) process?.print(1, "anybody?");
    // sleep: the writes to the closed connection fail meanwhile, and that must not affect the process
    await Bun.sleep(20);
    expect(process?.running).toBe(true);
    process?.end(0);
  });
});

describe("exec", () => {
  test("attached, with input and output", async () => {
    await container("box", ["sleep"]);
    await server.post("/containers/box/start");
    const created = await server.post("/containers/box/exec", {
      Cmd: ["cat"],
      AttachStdin: true,
      AttachStdout: true,
    });
    const { Id: id } = (await created.json()) as { Id: string };
    const client = server
      .connect()
      .send(
        `POST /exec/${id}/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}`,
      );
    await client.until((text) => text.endsWith("\r\n\r\n"));
    expect(client.received).toStartWith("HTTP/1.1 101 UPGRADED\r\n");
    client.send("word\n").halfClose();
    expect(await client.all()).toEndWith(`${frame}\u0005word\n`);
    expect(await (await server.fetch(`/exec/${id}/json`)).json()).toMatchObject({ Running: false, ExitCode: 0 });
    expect((await server.post(`/exec/${id}/start`, { Detach: true })).status).toBe(409);
  });

  async function exec(command: readonly string[], tty: boolean): Promise<string> {
    const created = await server.post("/containers/box/exec", { Cmd: command, Tty: tty, AttachStdout: true });
    return ((await created.json()) as { Id: string }).Id;
  }

  function startExec(id: string, body: object): RawClient {
    const text = JSON.stringify(body);
    return server
      .connect()
      .send(
        `POST /exec/${id}/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
      );
  }

  test.each([
    [true, false, "multiplexed", `${frame}\u0005word\n`],
    [false, true, "raw", "word\n"],
  ])("made with terminal %s and started with Tty %s: %s", async (tty, Tty, type, output) => {
    const client = startExec(await exec(["echo", "word"], tty), { Tty });
    expect(await client.all()).toBe(
      `HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.${type}-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n${output}`,
    );
  });

  test("the answer comes before the process starts", async () => {
    const launching = Promise.withResolvers<void>();
    server.fake.execs.launching = launching.promise;
    const client = startExec(await exec(["echo", "word"], true), { Tty: true });
    expect(await client.until((text) => text.endsWith("\r\n\r\n"))).toStartWith("HTTP/1.1 101 UPGRADED\r\n");
    server.fake.execs.launching = undefined;
    launching.resolve();
    expect(await client.all()).toEndWith("\r\n\r\nword\n");
  });

  test("detached: 200 and nothing", async () => {
    const created = await server.post("/containers/box/exec", { Cmd: ["false"] });
    const { Id: id } = (await created.json()) as { Id: string };
    const response = await server.post(`/exec/${id}/start`, { Detach: true });
    expect([response.status, await response.text()]).toEqual([200, ""]);
    server.fake.containers.find("box").process?.end(0);
  });
});

test("a slow reader receives a large output completely", async () => {
  await container("big", ["cat"]);
  await server.post("/containers/big/start");
  const client = attach("big", { upgrade: true, query: "stream=1&stdout=1" });
  await client.until((text) => text.endsWith("\r\n\r\n"));
  const headLength = client.received.length;
  client.socket.pause();
  const process = server.fake.containers.find("big").process;
  const piece = Buffer.alloc(64 * 1024, "y");
  for (let index = 0; index < 256; index++) process?.print(1, piece);
  process?.end(0);
  // sleep: a client that does not read for a while
  await Bun.sleep(100);
  client.socket.resume();
  expect((await client.all(20_000)).length - headLength).toBe(256 * (piece.length + 8));
});

test.each([
  ["an exec", "/exec/EXEC/start", ["cat"]],
  ["an attach", "/containers/box/attach?logs=1&stdout=1", ["echo", "word"]],
])("the output of %s follows when the client has read the head", async (_, path, command) => {
  let unread = 1;
  let looks = 0;
  const seen = { ...createSys(), unsentBytes: () => ((looks += 1), unread) };
  await using watched = await startTestServer({ sys: seen });
  await watched.post("/containers/create?name=box", { Image: "x", Cmd: command, Tty: true });
  await watched.post("/containers/box/start");
  const created = await watched.post("/containers/box/exec", { Cmd: ["echo", "word"], Tty: true });
  const { Id: id } = (await created.json()) as { Id: string };
  const client = watched
    .connect()
    .send(`POST ${path.replace("EXEC", id)} HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n`);
  await client.until((text) => text.endsWith("\r\n\r\n") && looks > 5);
  unread = 0;
  expect(await client.all()).toContain("word");
});

test("over TCP, output waits for nothing", async () => {
  const accepted = Promise.withResolvers<Socket>();
  const listener = createServer(accepted.resolve);
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const client = connect((listener.address() as AddressInfo).port, "127.0.0.1");
  const socket = await accepted.promise;
  let looks = 0;
  await headWasRead(socket, { unsentBytes: () => (looks += 1) }, new AbortController().signal);
  expect(looks).toBe(0);
  for (const each of [client, socket]) each.destroy();
  await new Promise((resolve) => listener.close(resolve));
});
