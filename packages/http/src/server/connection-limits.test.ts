/** Each limit of `contract.ts` that is about a connection. Times are shortened; the tests expect that the connection ends, not when it ends. */
import { afterEach, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { ClientConnection } from "../client/connection.ts";
import { startEchoServer, type EchoServer } from "../testing/echo-server.ts";
import { connectionLimits, type ConnectionLimits } from "./connection-limits.ts";

const opened: (AsyncDisposable | Socket)[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).toReversed())
    if ("destroy" in one) one.destroy();
    else await one[Symbol.asyncDispose]();
});

async function start(limits: Partial<ConnectionLimits> = {}): Promise<EchoServer> {
  const server = await startEchoServer({ limits });
  opened.push(server);
  return server;
}

interface Client {
  readonly socket: Socket;
  text: string;
  /** The server has closed its side. */
  readonly ended: Promise<void>;
  /** The connection is closed in both directions. */
  readonly closed: Promise<void>;
}

function open(server: EchoServer): Client {
  const socket = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
  opened.push(socket);
  socket.on("error", () => undefined);
  const event = (name: string): Promise<void> => new Promise((resolve) => socket.once(name, () => resolve()));
  const client = { socket, text: "", ended: Promise.race([event("end"), event("close")]), closed: event("close") };
  socket.on("data", (data: Buffer) => (client.text += data.toString("latin1")));
  return client;
}

const close = "GET /last HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
const post = (target: string, fields: string): string => `POST ${target} HTTP/1.1\r\nHost: d\r\n${fields}\r\n`;

/** Waits until `value` stays the same while the server answers fifty others. */
async function settled(server: EchoServer, value: () => number): Promise<number> {
  for (let same = 0, last = -1; same < 50; same = value() === last ? same + 1 : 0) {
    last = value();
    const other = open(server);
    other.socket.write(close);
    await other.ended;
  }
  return value();
}

test("the limits have the values that contract.ts promises", () => {
  expect(connectionLimits).toEqual({
    inputBytes: 64 * 1024,
    skipBytes: 256 * 1024,
    skipTimeoutMs: 5000,
    unreadBytes: 256 * 1024,
    lingerMs: 2000,
    headTimeoutMs: 30_000,
  });
});

test("the time limit of a head runs from its first byte to its last, however slowly it arrives", async () => {
  const client = open(await start({ headTimeoutMs: 100 }));
  client.socket.write("GET /slow HTTP/1.1\r\nHost: d\r\nX: ");
  const trickle = setInterval(() => client.socket.write("y"), 10);
  await client.ended;
  clearInterval(trickle);
  expect(client.text).toStartWith("HTTP/1.1 408 ");
  expect(client.text).toContain("the request head did not come in time");
});

test("the time limit of a head ends with the head: a longer request is answered", async () => {
  const server = await start({ headTimeoutMs: 50 });
  const client = open(server);
  client.socket.write(post("/hold", "Connection: close\r\n"));
  // sleep: the time limit of a head passes while the request is handled
  await Bun.sleep(100);
  server.release();
  await client.ended;
  expect(client.text).toStartWith("HTTP/1.1 200 ");
});

test("a body that the handler did not read is read up to a limit, to keep the connection", async () => {
  const { skipBytes } = connectionLimits;
  for (const [bytes, goesOn] of [
    [skipBytes, true],
    [skipBytes + 1, false],
  ] as const) {
    const server = await start();
    for (const message of [
      `${post("/unread", `Content-Length: ${bytes}\r\n`)}${"x".repeat(bytes)}`,
      `${post("/unread", "Transfer-Encoding: chunked\r\n")}${bytes.toString(16)}\r\n${"x".repeat(bytes)}\r\n0\r\n\r\n`,
    ]) {
      server.requests.length = 0;
      const client = open(server);
      client.socket.write(message + close);
      await client.ended;
      expect(server.requests).toEqual(goesOn ? ["POST /unread ", "GET /last "] : ["POST /unread "]);
    }
  }
});

test("a body that is announced as larger than that ends the connection before it arrives", async () => {
  const client = open(await start({ skipTimeoutMs: 2 ** 30 }));
  client.socket.write(post("/unread", `Content-Length: ${connectionLimits.skipBytes + 1}\r\n`));
  await client.ended;
  expect(client.text).toStartWith("HTTP/1.1 200 ");
});

test("a body that the handler did not read and that does not arrive ends the connection", async () => {
  const client = open(await start({ skipTimeoutMs: 50 }));
  client.socket.write(`${post("/unread", "Content-Length: 100\r\n")}only this`);
  await client.ended;
  expect(client.text).toStartWith("HTTP/1.1 200 ");
});

test("a client that does not close its side after the last answer is closed", async () => {
  const client = open(await start({ lingerMs: 50 }));
  client.socket.write(close);
  await client.ended;
  // Its side is still open. When it sends, it notices that the server has gone.
  const sending = setInterval(() => client.socket.write("x"), 10);
  await client.closed;
  clearInterval(sending);
  expect(client.text).toStartWith("HTTP/1.1 200 ");
});

test("of a request that nobody reads only a limited part is held; the rest stays with the client", async () => {
  const server = await start();
  const client = open(server);
  const size = 64 << 20;
  client.socket.write(post("/hold", `Content-Length: ${size}\r\n`));
  client.socket.write(Buffer.alloc(size));
  const left = (): number => client.socket.writableLength;
  expect(await settled(server, left)).toBeGreaterThan(size / 2);
});

test("an answer that the client does not read waits in the server", async () => {
  const server = await start();
  const socket = connect({ port: server.port, host: "127.0.0.1" });
  opened.push(socket);
  const client = new ClientConnection(socket, () => new Error("cut"));
  await client.write("GET /large HTTP/1.1\r\nHost: d\r\n\r\n");
  const answer = await client.readHead("GET");
  expect(await settled(server, () => server.written())).toBeLessThan(32 << 20);
  let size = 0;
  for await (const bytes of client.body(answer, () => undefined)) size += bytes.length;
  expect(size).toBe(64 << 20);
});

test("an unknown expectation is rejected", async () => {
  const server = await start();
  const client = open(server);
  client.socket.write(post("/a", "Expect: a-miracle\r\nContent-Length: 5\r\n"));
  await client.ended;
  expect(client.text).toStartWith("HTTP/1.1 417 Expectation Failed\r\n");
  expect(server.requests).toEqual([]);
});

test("a client of HTTP/1.0 gets no 100-continue", async () => {
  const client = open(await start());
  client.socket.write("POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
  await client.ended;
  expect(client.text).toStartWith("HTTP/1.1 200 OK\r\n");
});

test.each([
  ["GET /a HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header"],
  ["GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 Bad Request: too many Host headers"],
  ["GET /a HTTP/1.1\r\nHost: /run/d.sock\r\n\r\n", "400 Bad Request: malformed Host header"],
])("%j is rejected in the words of Go's server", async (bytes, words) => {
  const client = open(await start());
  client.socket.write(bytes);
  await client.ended;
  expect(client.text).toStartWith("HTTP/1.1 400 Bad Request\r\n");
  expect(client.text).toContain(words);
});
