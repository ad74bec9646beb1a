import { expect, test } from "bun:test";
import { ClientConnection, openSocket } from "@fathom/http";
import { serverPair, testAuthority } from "@fathom/base/testing";
import { createServer, type AddressInfo } from "node:net";
import { startTestServer } from "../testing/test-server.ts";

test("over TLS, on a port: answers, and a connection taken over", async () => {
  await using own = await startTestServer();
  const port = await freePort();
  await own.server.listen({ host: "127.0.0.1", port, tls: serverPair });
  const connection = new ClientConnection(
    await openSocket({
      kind: "tcp",
      hostname: "127.0.0.1",
      port,
      tls: { authorities: testAuthority, verify: true },
    }),
    () => new Error("cut"),
  );
  await own.post("/containers/create?name=tls", { Image: "x", Cmd: ["cat"], OpenStdin: true, StdinOnce: true });
  await own.post("/containers/tls/start");
  await connection.write("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
  let pong = "";
  for await (const bytes of connection.body(await connection.readHead("GET"), () => undefined))
    pong += bytes.toString();
  expect(pong).toBe("OK");
  await connection.write(
    "POST /containers/tls/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n",
  );
  expect((await connection.readHead("POST")).head.status).toBe(101);
  await connection.write("hello\n");
  connection.end();
  let output = "";
  for (let bytes = await connection.read(); bytes !== undefined; bytes = await connection.read())
    output += bytes.toString("latin1");
  expect(output).toEndWith("\u0006hello\n");
  connection.close();
});

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
