import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endSocket } from "./socket-output.ts";

/** Both ends of a connection. */
async function pair(directory: string): Promise<{ ours: Socket; client: Socket } & Disposable> {
  const server = createServer({ allowHalfOpen: true });
  const taken = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(join(directory, "s"), resolve));
  const client = connect({ path: join(directory, "s"), allowHalfOpen: true });
  const ours = await taken;
  client.pause();
  return {
    ours,
    client,
    [Symbol.dispose]: () => {
      client.destroy();
      ours.destroy();
      server.close();
    },
  };
}

test("bytes written before the end arrive, however late the client reads them; a client that does not close is closed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "fathom-end-"));
  {
    using both = await pair(directory);
    const { ours, client } = both;
    const size = 4 << 20;
    ours.resume();
    ours.write(Buffer.alloc(size, "x"));
    const closed = new Promise<void>((resolve) => ours.once("close", () => resolve()));
    endSocket(ours, 1);
    // sleep: a timer of 1 ms that started at the end would fire before this one.
    await Bun.sleep(50);
    let got = 0;
    client.on("data", (data: Buffer) => (got += data.length));
    const ended = new Promise<void>((resolve) => client.once("end", () => resolve()));
    client.resume();
    await ended;
    expect(got).toBe(size);
    await closed;
  }
  rmSync(directory, { recursive: true });
});
