import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, DaemonError, demultiplex, parseHost } from "./index.ts";

let directory: string;
let server: Server;
let client: Client;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "fathom-client-"));
  server = createServer((request, response) => {
    if (request.url === "/lines") {
      response.write('{"a":1}\n{"a"');
      setTimeout(() => response.end(":2}\n"), 5); // sleep: one line arrives in two pieces
    } else if (request.url?.startsWith("/answer/")) {
      response.end(decodeURIComponent(request.url.slice("/answer/".length)));
    } else if (request.url?.startsWith("/echo")) {
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify({ url: request.url, method: request.method }));
    } else {
      response.statusCode = 404;
      response.end('{"message":"No such thing"}');
    }
  });
  server.on("upgrade", (request, socket, head) => {
    if (request.url === "/refused") {
      socket.end("HTTP/1.1 409 Conflict\r\nContent-Length: 22\r\n\r\n" + '{"message":"not here"}');
      return;
    }
    socket.write(
      "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n",
    );
    const frame = (data: Buffer): Buffer => Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, data.length]), data]);
    if (head.length > 0) socket.unshift(head);
    const received: Buffer[] = [];
    socket.on("data", (data: Buffer) => received.push(data));
    socket.on("end", () => socket.end(frame(Buffer.concat(received))));
  });
  const path = join(directory, "s");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  client = new Client(`unix://${path}`);
});

afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

test("addresses", () => {
  expect(parseHost("unix:///run/x.sock")).toEqual({ kind: "unix", path: "/run/x.sock" });
  expect(parseHost("tcp://127.0.0.1:2375")).toEqual({ kind: "tcp", hostname: "127.0.0.1", port: 2375 });
  expect(() => parseHost("nonsense")).toThrow("unable to parse docker host");
});

test("json, query, lines, errors", async () => {
  expect(
    await client.json<{ url: string }>("POST", "/echo", { query: { a: "x y", b: undefined, c: true }, body: {} }),
  ).toMatchObject({ url: "/echo?a=x%20y&c=true" });
  const seen: unknown[] = [];
  for await (const message of client.messages("GET", "/lines")) seen.push(message);
  expect(seen).toEqual([{ a: 1 }, { a: 2 }]);
  const error = await client.json("GET", "/nope").catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DaemonError);
  expect(error).toMatchObject({ status: 404, message: "No such thing", code: "not-found" });
});

test.each(["", "{", "null", "5", "[]"])(
  "the error for an answer that is not an object names the request: %j",
  async (text) => {
    const path = `/answer/${encodeURIComponent(text)}`;
    const message = expect.stringContaining(`the daemon's answer to GET ${path} is no JSON`);
    expect(await client.json("GET", path).catch((reason: unknown) => reason)).toMatchObject({
      code: "internal",
      message,
    });
    const read = async (): Promise<void> => {
      for await (const _ of client.messages("GET", path));
    };
    if (text !== "")
      expect(await read().catch((reason: unknown) => reason)).toMatchObject({ code: "internal", message });
  },
);

test.each(["[", "{}", "[5]", "[null]"])(
  "the error for an answer that is not a list names the request: %j",
  async (text) => {
    const path = `/answer/${encodeURIComponent(text)}`;
    expect(await client.list("GET", path).catch((reason: unknown) => reason)).toMatchObject({
      code: "internal",
      message: expect.stringContaining(`the daemon's answer to GET ${path} is no JSON`),
    });
  },
);

test("no daemon", async () => {
  const error = await new Client(`unix://${directory}/none`).json("GET", "/").catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "unavailable" });
});

test("a hijacked stream closes one direction and returns the frames", async () => {
  const stream = await client.hijack("/attach");
  expect(stream.multiplexed).toBe(true);
  await stream.write(Buffer.from("some input"));
  stream.end();
  const frames: string[] = [];
  for await (const { stream: number, data } of demultiplex(stream.output))
    frames.push(`${number}:${Buffer.from(data).toString()}`);
  expect(frames).toEqual(["1:some input"]);
  stream.close();
});

test("when the daemon refuses a hijack, the error carries the daemon's message", async () => {
  expect(await client.hijack("/refused").catch((reason: unknown) => reason)).toMatchObject({
    status: 409,
    message: "not here",
  });
});
