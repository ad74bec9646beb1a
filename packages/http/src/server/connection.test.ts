import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { startEchoServer, type EchoServer } from "../testing/echo-server.ts";
import { marker, smugglingCorpus } from "../testing/smuggling-corpus.ts";

let server: EchoServer;
beforeAll(async () => {
  server = await startEchoServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** What arrives until the server ends the connection. `later` is sent after the first bytes have arrived. */
function talk(bytes: string, later = ""): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
    let text = "";
    const done = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.on("data", (data: Buffer) => {
      if (text === "") socket.write(later, "latin1");
      text += data.toString("latin1");
    });
    socket.on("end", done);
    socket.on("close", done);
    socket.on("error", done);
    socket.write(bytes, "latin1");
  });
}

const statuses = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

describe("a connection answers each of these in one way, and ends after a rejection", () => {
  test.each(smugglingCorpus.map((one) => [one.name, one] as const))("%s", async (_name, { bytes, outcome }) => {
    server.requests.length = 0;
    // The connection ends by itself: because of the rejection, or because the last request asks for it.
    const last = marker.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    const text = await talk(bytes + last);
    if (typeof outcome === "number") {
      expect(server.requests).toEqual([]);
      expect(statuses(text)).toEqual([outcome]);
      expect(text).toContain("Connection: close\r\n");
    } else {
      expect(server.requests).toEqual([...outcome, "GET /marker "]);
      expect(statuses(text)).toEqual(server.requests.map(() => 200));
    }
  });
});

test("bytes that are not HTTP are rejected at their first wrong line, without waiting for an end of the head", async () => {
  for (const bytes of [
    "GET /a\r\n",
    "GET /a HTTP/1.1\nHost: d\n",
    "GET /a HTTP/1.1\rHost: d",
    "GET /a HTTP/1.1\r\nX : y\r\n",
  ])
    expect(statuses(await talk(bytes))).toEqual([400]);
});

test("reading stops at a malformed body, even when its handler ignores the error and keeps the connection", async () => {
  server.requests.length = 0;
  const text = await talk(
    `POST /careless HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    `0\r\n\r\n${marker}`,
  );
  expect(statuses(text)).toEqual([200]);
  expect(server.requests).toEqual([]);
});
