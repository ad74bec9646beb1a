import { expect, test } from "bun:test";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { Response } from "./response.ts";

/** What a client receives until the connection ends. */
async function received(answer: (response: Response) => unknown, headOnly = false): Promise<string> {
  const server = createServer((socket: Socket) => {
    const response = new Response(socket, { commonHeaders: "", headOnly, minor: 1, keepAlive: true });
    void Promise.resolve()
      .then(() => answer(response))
      .catch(() => undefined)
      .then(() => socket.destroySoon());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  let text = "";
  await new Promise<void>((resolve) => {
    socket.on("data", (data: Buffer) => (text += data.toString("latin1")));
    socket.on("close", () => resolve());
    socket.on("error", () => undefined);
  });
  server.close();
  return text.replace(/Date: .*\r\n/, "");
}

test("a stream with a length has it in its head, and no chunks", async () => {
  const text = await received(async (response) => {
    response.start(206, "a/b", 5);
    await response.write("he");
    await response.write(Buffer.from("llo"));
    response.end();
    expect(response.keepAlive).toBe(true);
  });
  expect(text).toBe("HTTP/1.1 206 Partial Content\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello");
});

test("HEAD has the same head, and no byte is missing", async () => {
  const text = await received((response) => {
    response.start(200, "a/b", 5);
    response.end();
    expect(response.keepAlive).toBe(true);
  }, true);
  expect(text).toBe("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\n");
});

test("a stream that is shorter than its length breaks off, and one that is longer too", async () => {
  const states: boolean[] = [];
  await received(async (response) => {
    response.start(200, "a/b", 5);
    await response.write("he");
    response.end();
    states.push(response.keepAlive);
  });
  await received(async (response) => {
    response.start(200, "a/b", 5);
    await expect((async () => response.write("hello!"))()).rejects.toThrow("more bytes");
    states.push(response.keepAlive);
  });
  expect(states).toEqual([false, false]);
});
