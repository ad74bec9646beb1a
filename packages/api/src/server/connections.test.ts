import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { apiLimits } from "../contract.ts";
import { countUpload } from "../testing/count-upload.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const ping = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
const count = (text: string, part: string): number => text.split(part).length - 1;

test("several requests on one connection, also when they arrive at once or in pieces", async () => {
  const client = server.connect().send(ping + ping);
  await client.until((text) => count(text, "\r\n\r\nOK") === 2);
  for (const byte of ping) {
    client.send(byte);
    await Bun.sleep(0);
  }
  await client.until((text) => count(text, "\r\n\r\nOK") === 3);
  client.close();
});

test("pipelined requests get one round of the event loop each, so that others are served between them", async () => {
  const client = server.connect();
  let rounds = 0;
  const round = (): void => {
    rounds++;
    timer = setImmediate(round);
  };
  let timer = setImmediate(round);
  client.send(ping.repeat(500));
  await client.until((text) => count(text, "\r\n\r\nOK") === 500);
  clearImmediate(timer);
  expect(rounds).toBeGreaterThanOrEqual(499);
  client.close();
});

test("for a client that reads no answers, nothing more is done after a while", async () => {
  const client = connect(server.path);
  client.pause();
  const total = 100_000;
  client.write(ping.repeat(total));
  const start = server.requests.length;
  let others = 0;
  // Each leaves its beginning and its end there.
  const done = (): number => (server.requests.length - start) / 2 - others;
  for (let last = -1, same = 0; same < 50; last = done()) {
    await (await server.fetch("/_ping")).text();
    others++;
    same = done() === last ? same + 1 : 0;
  }
  expect(done()).toBeLessThan(total / 2);
  // When it reads, it gets its answer.
  const before = done();
  client.on("data", () => undefined);
  client.resume();
  while (done() === before) await new Promise((resolve) => setImmediate(resolve));
  client.destroy();
});

test("requests that arrived completely before the client's end are all answered", async () => {
  const text = await server.connect().send(ping.repeat(3)).halfClose().all();
  expect(count(text, "\r\n\r\nOK")).toBe(3);
  expect(await server.connect().send(`${ping}GET /_pi`).halfClose().all()).toEndWith("OK");
});

test("empty lines before a request are ignored", async () => {
  const client = server.connect().send(`\r\n\r\n${ping}`);
  await client.until((text) => text.endsWith("OK"));
  client.close();
});

test("HTTP/1.0 and Connection: close end the connection", async () => {
  expect(await server.connect().send("GET /_ping HTTP/1.0\r\n\r\n").all()).toEndWith("OK");
  const text = await server.connect().send("GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").all();
  expect(text).toContain("Connection: close\r\n");
});

test("a stream for HTTP/1.0 has no chunks", async () => {
  const text = await server.connect().send("POST /images/create?fromImage=x HTTP/1.0\r\n\r\n").all();
  expect(text).not.toContain("chunked");
  expect(text).toEndWith('{"status":"Status: Downloaded newer image for x:latest"}\r\n');
});

test("a client that half-closes after its request still gets the answer", async () => {
  expect(await server.connect().send(ping).halfClose().all()).toEndWith("OK");
});

test("a body that nobody reads does not affect the next request", async () => {
  const body = "x".repeat(1000);
  const client = server
    .connect()
    .send(`POST /nosuch HTTP/1.1\r\nHost: d\r\nContent-Length: ${body.length}\r\n\r\n${body}${ping}`);
  const text = await client.until((text) => text.endsWith("OK"));
  expect(text).toStartWith("HTTP/1.1 404");
  client.close();
});

test("a large body that nobody reads ends the connection", async () => {
  const client = server.connect().send("POST /nosuch HTTP/1.1\r\nHost: d\r\nContent-Length: 100000000\r\n\r\n");
  expect(await client.all()).toContain("page not found");
});

test("100-continue is sent when the body is needed, and only then", async () => {
  const wanted = server
    .connect()
    .send(
      "POST /containers/create HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n",
    );
  await wanted.until((text) => text === "HTTP/1.1 100 Continue\r\n\r\n");
  wanted.send('{"Image":"a"}');
  await wanted.until((text) => text.includes("HTTP/1.1 201 Created"));
  wanted.close();
  const unwanted = server
    .connect()
    .send("POST /nosuch HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n");
  expect(await unwanted.all()).toStartWith("HTTP/1.1 404");
});

describe("bytes that are not HTTP", () => {
  test.each([
    ["a word", "garbage\r\n\r\n", 400],
    ["a folded field", "GET / HTTP/1.1\r\nHost: d\r\nX: a\r\n folded\r\n\r\n", 400],
    ["two framings", "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400],
    ["an unknown framing", "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: gzip\r\n\r\n", 501],
    ["very many fields", `GET / HTTP/1.1\r\nHost: d\r\n${"X: y\r\n".repeat(300)}\r\n`, 431],
    ["a head without end", `GET /${"x".repeat(2 << 20)}`, 431],
    ["TLS", "\u0016\u0003\u0001\u0002\u0000\u0001\r\n\r\n", 400],
  ])("%s", async (_name, text, status) => {
    const answer = await server.connect().send(text).all();
    expect(answer).toStartWith(`HTTP/1.1 ${status} `);
    expect(answer).toContain('{"message":');
  });

  test("an invalid chunked body", async () => {
    const answer = await server
      .connect()
      .send(
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      )
      .all();
    expect(answer).toContain("malformed chunked body");
  });

  test("random bytes of every kind do not harm the server", async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const noise = Buffer.alloc(300);
      for (let index = 0, state = seed; index < noise.length; index++) {
        state = (state * 1103515245 + 12345) % 2147483648;
        noise[index] = state >> 16;
      }
      const client = server.connect().send(seed % 2 === 0 ? noise : Buffer.concat([Buffer.from("GET /"), noise]));
      client.halfClose();
      await client.all();
    }
    expect(await (await server.fetch("/_ping")).text()).toBe("OK");
  });
});

describe("backpressure", () => {
  test("an upload is read no faster than the backend takes it", async () => {
    let release: (() => void) | undefined;
    const { load } = server.fake.images;
    let pace = (): Promise<void> => new Promise((resolve) => (release = resolve));
    server.fake.images.load = countUpload(() => pace());
    const size = 64 << 20;
    const client = server.connect().send(`POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: ${size}\r\n\r\n`);
    client.send(Buffer.alloc(size));
    // sleep: without a limit, the server would read everything in this time
    await Bun.sleep(300);
    // The rest is still in the client: the server holds at most its input limit, and the kernel its buffers.
    expect(client.socket.writableLength).toBeGreaterThan(size / 2);
    pace = async () => undefined;
    release?.();
    await client.until((text) => text.endsWith("0\r\n\r\n"), 20_000);
    expect(client.received).toContain(`Loaded image: ${size} bytes`);
    client.close();
    server.fake.images.load = load;
  });

  test("a client that does not read stops the stream", async () => {
    await server.post("/containers/create?name=flood", { Image: "x", Cmd: ["flood", "400"] });
    await server.post("/containers/flood/start");
    const log = server.fake.containers.find("flood").process?.log ?? [];
    let given = 0;
    const { logs } = server.fake.containers;
    async function* counted(): AsyncGenerator<Uint8Array> {
      for (const piece of log) {
        given++;
        yield piece;
      }
    }
    server.fake.containers.logs = async () => ({ tty: false, stream: counted() });
    const client = server.connect();
    client.socket.pause();
    client.send("GET /containers/flood/logs?stdout=1 HTTP/1.0\r\n\r\n");
    // sleep: without a limit, the server would read everything in this time
    await Bun.sleep(300);
    expect(given).toBeLessThan(100);
    client.socket.resume();
    expect((await client.all(20_000)).length).toBeGreaterThan(400 * 64 * 1024);
    expect(given).toBe(log.length);
    server.fake.containers.logs = logs;
  });
});

test("close lets an answer finish, ends streams, and rejects new requests", async () => {
  const own = await startTestServer();
  const idle = own.connect().send(ping);
  await idle.until((text) => text.endsWith("OK"));
  const stream = own.connect().send("GET /events HTTP/1.1\r\nHost: d\r\n\r\n");
  await stream.until((text) => text.includes("\r\n\r\n"));
  const start = performance.now();
  await own.server.close(5000);
  expect(performance.now() - start).toBeLessThan(2000);
  await idle.all();
  await stream.all();
  expect(own.server.connectionCount).toBe(0);
  await expect(own.fetch("/_ping")).rejects.toThrow();
  await own[Symbol.asyncDispose]();
});

test("one connection above the limit ends an idle one, and is rejected when none is idle", async () => {
  await using small = await startTestServer({ limits: { connections: 2 } });
  const idle = small.connect().send(ping);
  await idle.until((text) => text.endsWith("OK"));
  const busy = [small.connect(), small.connect()].map((client) =>
    client.send("GET /events HTTP/1.1\r\nHost: d\r\n\r\n"),
  );
  await Promise.all(busy.map((client) => client.until((text) => text.includes("\r\n\r\n"))));
  expect(await idle.all()).toEndWith("OK");
  const refused = await small.connect().all();
  expect(refused).toStartWith("HTTP/1.1 503 ");
  expect(refused).toContain("too many connections: 2 are open");
  busy[0]!.close();
  await busy[0]!.all();
  const again = small.connect().send(ping);
  await again.until((text) => text.includes("HTTP/1.1 200"));
  again.close();
  for (const client of busy) client.close();
});

describe("limits of all clients together", () => {
  const create =
    "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nConnection: close\r\n";

  test("the limits have the values that the README names", () =>
    expect(apiLimits).toEqual({ connections: 4096, bodyBytes: 64 << 20, bodyTimeoutMs: 60_000 }));

  test("a body that does not come in time ends its request", async () => {
    await using impatient = await startTestServer({ limits: { bodyTimeoutMs: 50 } });
    const answer = await impatient.connect().send(`${create}Content-Length: 100\r\n\r\n{"Image"`).all();
    expect(answer).toStartWith("HTTP/1.1 408 ");
    expect(answer).toContain("the request body did not come in time");
  });

  test("a large body without room gets 503; a small body needs no room", async () => {
    await using small = await startTestServer({ limits: { bodyBytes: 1 << 20, bodyTimeoutMs: 100 } });
    const answer = await small
      .connect()
      .send(`${create}Content-Length: ${2 << 20}\r\n\r\n`)
      .all();
    expect(answer).toStartWith("HTTP/1.1 503 ");
    expect(answer).toContain("too many large requests are under way");
    expect((await small.post("/containers/create", { Image: "x" })).status).toBe(201);
  });
});
