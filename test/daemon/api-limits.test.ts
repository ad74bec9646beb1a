/** Limits on what many clients together can use of the daemon: memory, time and connections. The daemon answers other clients meanwhile. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { readFileSync } from "node:fs";
import { TestDaemon, until } from "./harness.ts";

const daemon = new TestDaemon("limits");
const MiB = 1 << 20;

beforeAll(async () => {
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

function residentBytes(): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1]) * 1024;
}

async function expectPing(): Promise<void> {
  const answer = await daemon.request("GET", "/_ping", undefined, AbortSignal.timeout(25_000));
  expect(await answer.text()).toBe("OK");
}

interface Client {
  readonly socket: Socket;
  sent: number;
  received: string;
  closed: boolean;
}

/** Sends `head`, then `bytes` of `piece` again and again, as fast as the daemon accepts them. */
function client(head: string, piece = new Uint8Array(), bytes = 0): Client {
  const socket = connect(daemon.socket);
  const made: Client = { socket, sent: 0, received: "", closed: false };
  const more = (): void => {
    while (made.sent < bytes && !socket.destroyed) {
      made.sent += piece.length;
      if (!socket.write(piece)) return;
    }
  };
  socket.on("drain", more);
  socket.on("data", (data: Buffer) => (made.received += data.toString("latin1")));
  socket.on("close", () => (made.closed = true));
  socket.on("error", () => undefined);
  socket.write(head);
  more();
  return made;
}

/** Waits until nobody sends or receives any more. */
async function settled(clients: readonly Client[]): Promise<void> {
  let quiet = 0;
  let last = -1;
  await until("the clients are quiet", async () => {
    const now = clients.reduce((sum, { sent, received }) => sum + sent + received.length, 0);
    quiet = now === last ? quiet + 1 : 0;
    last = now;
    await expectPing();
    return quiet >= 10;
  });
}

const post = "POST /v1.47/containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n";

test("the daemon does not hold 200 unfinished bodies of 8 MB at the same time", async () => {
  const before = residentBytes();
  const piece = Buffer.alloc(64 * 1024, " ");
  const clients = Array.from({ length: 200 }, () =>
    client(`${post}Content-Length: ${8 * MiB}\r\n\r\n`, piece, 8 * MiB - piece.length),
  );
  try {
    await settled(clients);
    expect(Math.round((residentBytes() - before) / MiB)).toBeLessThan(250);
    // Small requests need not wait for the large ones.
    const made = await daemon.api<{ Id: string }>("POST", "/containers/create", { Image: daemon.image, Cmd: ["true"] });
    expect(made.status).toBe(201);
  } finally {
    for (const { socket } of clients) socket.destroy();
  }
  // The room for bodies is free again.
  const large = await daemon.api<{ message: string }>("POST", "/containers/create", {
    Image: "nosuch",
    Labels: { a: "x".repeat(6 * MiB) },
  });
  expect(large.status).toBe(404);
}, 120_000);

test("a body of a million chunks of one byte, and a head that arrives byte by byte", async () => {
  const chunks = Buffer.from("1\r\n \r\n".repeat(10_000));
  const body = client(`${post}Transfer-Encoding: chunked\r\n\r\n`, chunks, chunks.length * 100);
  await settled([body]);
  expect(body.sent).toBe(chunks.length * 100);
  body.socket.write("0\r\n\r\n");
  await until("it is answered", () => body.received.includes("\r\n\r\n"));
  expect(body.received).toStartWith("HTTP/1.1 400");
  body.socket.destroy();
  const head = client("GET /_ping HTTP/1.1\r\nHost: d\r\nX: ");
  for (let sent = 0; sent < 20_000; sent++)
    if (!head.socket.write("x")) await new Promise((resolve) => head.socket.once("drain", resolve));
  head.socket.write("\r\n\r\n");
  await until("it is answered", () => head.received.endsWith("OK"));
  head.socket.destroy();
}, 60_000);

test("360 clients that do not read hold only their share of memory, and slow nobody down", async () => {
  daemon.docker(
    "run",
    "-d",
    "--name",
    "loud",
    // One large file.
    "--log-opt",
    "max-size=-1",
    daemon.image,
    "sh",
    "-c",
    `yes ${"x".repeat(200)} | head -c 20000000; sleep 1000`,
  );
  await until("the log is written", async () => {
    const tail = daemon.docker("logs", "--tail", "1", "loud");
    return tail !== "" && Bun.file(daemon.docker("inspect", "-f", "{{.LogPath}}", "loud")).size > 20_000_000;
  });
  const before = residentBytes();
  const clients = Array.from({ length: 360 }, (_, index) => {
    const made = client(`GET /v1.47/containers/loud/logs?stdout=1&follow=${index % 2} HTTP/1.1\r\nHost: d\r\n\r\n`);
    made.socket.pause();
    return made;
  });
  try {
    await settled(clients);
    // Reads slowly: a little, then nothing for a while.
    for (const { socket } of clients) {
      socket.resume();
      await expectPing();
      socket.pause();
    }
    await settled(clients);
    expect(Math.round((residentBytes() - before) / MiB)).toBeLessThan(600);
  } finally {
    for (const { socket } of clients) socket.destroy();
  }
}, 120_000);
