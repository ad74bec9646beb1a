import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, demultiplex } from "./index.ts";

let directory: string;
let path: string;
let server: Server;
let sockets: Socket[];
let received: number;
/** What the server does with each connection; `head` is the text up to the empty line. */
let answer: (socket: Socket, head: string) => void;
let client: Client;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "fathom-client-"));
  path = join(directory, "s");
  sockets = [];
  received = 0;
  server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    let text = "";
    socket.on("data", (data: Buffer) => {
      received += data.length;
      text += data.toString("latin1");
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = text.slice(0, end);
      text = text.slice(end + 4);
      answer(socket, head);
    });
    socket.on("end", () => socket.end());
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  client = new Client(`unix://${path}`);
});

afterEach(() => {
  client.close();
  for (const socket of sockets) socket.destroy();
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

const ok = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

async function rejection(promise: Promise<unknown>): Promise<{ code?: string; status?: number; message: string }> {
  const error: unknown = await promise.then(
    () => ({ message: "resolved" }),
    (reason: unknown) => reason,
  );
  return error as { code?: string; status?: number; message: string };
}

describe("connections", () => {
  test("the client uses a connection again", async () => {
    answer = (socket) => socket.write(ok("{}"));
    for (let index = 0; index < 3; index++) await client.json("GET", "/");
    expect(sockets.length).toBe(1);
  });

  test("the client replaces a connection that the daemon closed meanwhile", async () => {
    answer = (socket) => socket.write(ok("{}"));
    await client.json("GET", "/");
    sockets[0]?.destroy();
    // sleep: the client may notice the closed connection before or after it writes; both must work
    await Bun.sleep(10);
    await client.json("POST", "/");
    expect(sockets.length).toBe(2);
  });

  test.each([
    ["HTTP/1.0 200 OK\r\n", 2],
    ["HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", 1],
    ["HTTP/1.1 200 OK\r\nConnection: x, close\r\n", 2],
  ])("after an answer that begins with %j, two requests use %d connections", async (head, count) => {
    answer = (socket) => socket.write(`${head}Content-Length: 2\r\n\r\n{}`);
    await client.json("GET", "/");
    await client.json("GET", "/");
    expect(sockets.length).toBe(count);
  });

  test("a POST that may have had an effect is not sent a second time", async () => {
    answer = (socket) => socket.write(ok("{}"));
    await client.json("GET", "/");
    let requests = 0;
    answer = (socket) => {
      requests++;
      socket.destroy();
    };
    expect(await rejection(client.json("POST", "/"))).toMatchObject({ code: "unavailable" });
    expect(requests).toBe(1);
  });

  test("a program that has nothing else to do exits", async () => {
    answer = (socket) => socket.write(ok("{}"));
    const child = Bun.spawn(
      [
        process.execPath,
        "-e",
        `const { Client } = await import(${JSON.stringify(import.meta.resolve("./index.ts"))}); await new Client("unix://${path}").json("GET", "/");`,
      ],
      { stdout: "inherit", stderr: "inherit", timeout: 5000 },
    );
    expect(await child.exited).toBe(0);
  });
});

describe("answers", () => {
  test("chunks that arrive one byte at a time", async () => {
    const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n[{},\r\n3;x=y\r\n{}]\r\n0\r\nX: y\r\n\r\n";
    answer = (socket) => {
      void (async () => {
        for (const byte of text) {
          socket.write(byte);
          await Bun.sleep(0);
        }
      })();
    };
    expect(await client.list("GET", "/")).toEqual([{}, {}]);
    answer = (socket) => socket.write(ok('{"a":3}'));
    expect(await client.json<object>("GET", "/")).toEqual({ a: 3 });
    expect(sockets.length).toBe(1);
  });

  test("100 Continue and 304", async () => {
    answer = (socket) => socket.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n");
    expect(await client.send("POST", "/")).toBe(304);
  });

  test.each([
    ["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "data-loss"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "data-loss"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "data-loss"],
    ["SSH-2.0\r\n\r\n", "data-loss"],
    ["", "unavailable"],
  ])("%j is an error", async (text, code) => {
    answer = (socket) => socket.end(text);
    expect(await rejection(client.json("GET", "/"))).toMatchObject({ code });
  });

  test("an abort ends a call and a stream", async () => {
    answer = () => undefined;
    const first = new AbortController();
    const call = client.json("GET", "/", { signal: first.signal });
    setTimeout(() => first.abort(), 10); // sleep: a user who thinks for a moment
    expect(await rejection(call)).toMatchObject({ code: "aborted" });

    answer = (socket) => socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n");
    const second = new AbortController();
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const message of client.messages("GET", "/", { signal: second.signal })) {
        seen.push(message);
        second.abort();
      }
    })();
    expect(await rejection(reading)).toMatchObject({ code: "aborted" });
    expect(seen).toEqual([{}]);
  });

  test("the client reads a stream no faster than the caller takes it", async () => {
    const size = 32 << 20;
    answer = (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
      socket.write(Buffer.alloc(size));
    };
    const { body } = await client.request("GET", "/");
    // sleep: without the limit, the client would read everything in this time
    await Bun.sleep(200);
    expect(sockets[0]?.writableLength).toBeGreaterThan(size / 2);
    let taken = 0;
    for await (const chunk of body) taken += chunk.length;
    expect(taken).toBe(size);
  });
});

describe("uploads", () => {
  async function* pieces(count: number): AsyncGenerator<Uint8Array> {
    for (let index = 0; index < count; index++) yield new Uint8Array(64 * 1024);
  }

  test("arrive in chunks", async () => {
    // The end of the last chunk looks like the end of a head.
    answer = (socket, head) => {
      if (head.endsWith("\r\n0")) socket.write(ok("{}"));
    };
    await client.send("POST", "/", { stream: pieces(20) });
    expect(received).toBeGreaterThan(20 * 64 * 1024);
  });

  test("the client hears a daemon that refuses early", async () => {
    answer = (socket) => {
      socket.pause();
      socket.write('HTTP/1.1 400 Bad Request\r\nContent-Length: 20\r\n\r\n{"message":"no tar"}');
    };
    expect(await rejection(client.send("POST", "/", { stream: pieces(10_000) }))).toMatchObject({
      status: 400,
      message: "no tar",
    });
  });
});

describe("demultiplex", () => {
  const frames = Buffer.concat([
    Buffer.from([1, 0, 0, 0, 0, 0, 0, 3]),
    Buffer.from("abc"),
    Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]),
    Buffer.from([2, 0, 0, 0, 0, 0, 0, 2]),
    Buffer.from("de"),
  ]);

  test.each([1, 2, 5, 8, 9, 100])("in pieces of %d", async (size) => {
    async function* cut(): AsyncGenerator<Uint8Array> {
      for (let offset = 0; offset < frames.length; offset += size) yield frames.subarray(offset, offset + size);
    }
    const text: Record<number, string> = { 1: "", 2: "" };
    for await (const { stream, data } of demultiplex(cut())) text[stream] += Buffer.from(data).toString();
    expect(text).toEqual({ 1: "abc", 2: "de" });
  });

  test("an end within a frame and an unknown stream are errors", async () => {
    const drain = async (data: Buffer): Promise<void> => {
      for await (const _ of demultiplex(
        (async function* () {
          yield data;
        })(),
      ))
        continue;
    };
    expect(await rejection(drain(frames.subarray(0, 5)))).toMatchObject({ code: "data-loss" });
    expect(await rejection(drain(frames.subarray(0, 10)))).toMatchObject({ code: "data-loss" });
    expect(await rejection(drain(Buffer.from("plain text")))).toMatchObject({ code: "data-loss" });
  });
});

test("a header that contains a line break is rejected", async () => {
  expect(await rejection(client.send("GET", "/", { headers: { "X-Registry-Auth": "a\r\nb" } }))).toMatchObject({
    code: "invalid-argument",
  });
});
