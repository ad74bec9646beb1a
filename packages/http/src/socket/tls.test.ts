import { expect, test } from "bun:test";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { ClientConnection } from "../client/connection.ts";
import { encodeChunk, lastChunk, serialiseField, serialiseRequestHead } from "../message/serialise.ts";
import { startEchoServer, type EchoOptions } from "../testing/echo-server.ts";
import { clientPair, serverPair, testAuthority } from "@fathom/base/testing";
import { openSocket, type SocketAddress } from "./open-socket.ts";
import { connectTls, tlsServer } from "./tls.ts";

const cut = (): Error => new Error("cut");
const tls: EchoOptions = { tls: serverPair, clientTls: { authorities: testAuthority, verify: true } };

async function open(address: SocketAddress): Promise<ClientConnection> {
  return new ClientConnection(await openSocket(address), cut);
}

async function ask(connection: ClientConnection, method: string, path: string, body: string[] = []): Promise<string> {
  const encoding = body.length > 0 ? serialiseField("Transfer-Encoding", "chunked") : "";
  await connection.write(serialiseRequestHead(method, path, `${serialiseField("Host", "d")}${encoding}`));
  for (const piece of body) await connection.write(encodeChunk(piece));
  if (body.length > 0) await connection.write(lastChunk);
  let text = "";
  for await (const bytes of connection.body(await connection.readHead(method), () => undefined))
    text += bytes.toString();
  return text;
}

/** Everything that is read from now on. */
async function rest(connection: ClientConnection): Promise<string> {
  let text = "";
  for (let bytes = await connection.read(); bytes !== undefined; bytes = await connection.read())
    text += bytes.toString();
  return text;
}

for (const [name, kind] of [
  ["plain", {}],
  ["TLS", tls],
] as const) {
  test(`${name}: several requests on one connection`, async () => {
    await using server = await startEchoServer(kind);
    const connection = await open(server.address);
    expect(await ask(connection, "GET", "/a")).toBe("GET /a ");
    expect(await ask(connection, "POST", "/b", ["hello", " world"])).toBe("POST /b hello world");
    expect(connection.usable).toBe(true);
    const large = "x".repeat(900_000);
    expect(await ask(connection, "POST", "/c", [large])).toBe(`POST /c ${large}`);
    connection.close();
  });

  test(`${name}: a connection taken over, whose client ends its side first`, async () => {
    await using server = await startEchoServer({
      ...kind,
      onUpgrade: async ({ socket, first, ended }) => {
        let got = first.toString();
        socket.on("data", (data: Buffer) => (got += data.toString()));
        socket.resume();
        if (!ended) await new Promise<void>((resolve) => socket.once("end", () => resolve()));
        socket.end(`you said ${got}`);
      },
    });
    const connection = await open(server.address);
    // Input that arrives with the request is not lost.
    await connection.write(`${serialiseRequestHead("POST", "/upgrade", serialiseField("Host", "d"))}early `);
    expect((await connection.readHead("POST")).head.status).toBe(101);
    await connection.write("late");
    connection.end();
    expect(await rest(connection)).toBe("you said early late");
    connection.close();
  });

  test(`${name}: a connection taken over, whose server ends its side first`, async () => {
    let got = "";
    let heard: (() => void) | undefined;
    const end = new Promise<void>((resolve) => (heard = resolve));
    await using server = await startEchoServer({
      ...kind,
      onUpgrade: async ({ socket, first }) => {
        got = first.toString();
        socket.on("data", (data: Buffer) => (got += data.toString()));
        socket.once("end", () => heard?.());
        socket.resume();
        socket.end("bye");
      },
    });
    const connection = await open(server.address);
    await connection.write(serialiseRequestHead("POST", "/upgrade", serialiseField("Host", "d")));
    await connection.readHead("POST");
    expect(await rest(connection)).toBe("bye");
    await connection.write("still here");
    connection.end();
    await end;
    expect(got).toBe("still here");
    connection.close();
  });
}

test("a server with an unknown authority, or with another name, is rejected", async () => {
  await using server = await startEchoServer(tls);
  const unknown = { ...server.address, tls: { verify: true } } as SocketAddress;
  await expect(openSocket(unknown)).rejects.toThrow(/certificate/);
  const misnamed = { ...server.address, hostname: "localhost" } as SocketAddress;
  await expect(openSocket(misnamed)).rejects.toThrow(/altnames|certificate|localhost/i);
  const believed = await open({ ...server.address, tls: { verify: false } } as SocketAddress);
  expect(await ask(believed, "GET", "/a")).toBe("GET /a ");
  believed.close();
});

test("a server that requires a client's certificate gives no answer without one", async () => {
  await using server = await startEchoServer({ ...tls, tls: { ...serverPair, clientAuthorities: testAuthority } });
  const stranger = open(server.address).then((connection) => ask(connection, "GET", "/a"));
  await expect(stranger).rejects.toThrow();
  expect(server.requests).toEqual([]);
  const known = await open({
    ...server.address,
    tls: { authorities: testAuthority, verify: true, ...clientPair },
  } as SocketAddress);
  expect(await ask(known, "GET", "/a")).toBe("GET /a ");
  known.close();
});

test("a client that does not use TLS is not answered, and the server continues", async () => {
  await using server = await startEchoServer(tls);
  await new Promise<void>((resolve) => {
    const plain: Socket = connect({ port: server.port, host: "127.0.0.1" });
    plain.on("data", () => undefined);
    plain.on("error", () => undefined);
    plain.on("close", () => resolve());
    plain.write("GET /a HTTP/1.1\r\nHost: d\r\n\r\n");
  });
  expect(server.requests).toEqual([]);
  const connection = await open(server.address);
  expect(await ask(connection, "GET", "/a")).toBe("GET /a ");
  connection.close();
});

test("a client that does not finish its handshake in time is disconnected", async () => {
  const server = tlsServer(serverPair, () => undefined, 50);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const silent = connect({ port, host: "127.0.0.1" });
  silent.resume();
  await once(silent, "close");
  server.close();
});

test("a server that does not finish its handshake in time is an error", async () => {
  const peers: Socket[] = [];
  const server = createServer((socket) => peers.push(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await expect(connectTls("127.0.0.1", port, { verify: false }, 50)).rejects.toThrow("TLS handshake timeout");
  for (const peer of peers) peer.destroy();
  server.close();
});
