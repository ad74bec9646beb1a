import { expect, test } from "bun:test";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { joinSockets, type InputFilter } from "./upgraded.ts";

/** Both ends of a connection. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection");
  const near = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [far] = (await accepted) as [Socket];
  server.close();
  return [near, far];
}

test("bytes before the last one are not lost when the target reads slowly", async () => {
  const [client, peer] = await pair();
  const [target, process] = await pair();
  process.pause();
  client.resume();
  const calls: string[] = [];
  const input: InputFilter = {
    push(data) {
      const mark = data.indexOf(0);
      return mark < 0 ? { forward: data, last: false } : { forward: data.subarray(0, mark), last: true };
    },
    finished: () => calls.push("finished"),
    flush: () => new Uint8Array(),
  };
  // More than the kernel holds for a connection; the mark arrives in the same piece as bytes that must wait.
  const typed = Buffer.alloc(16 << 20, "a");
  const first = Buffer.concat([typed, Buffer.from([0]), Buffer.from("dropped")]);
  const joined = joinSockets({ socket: peer, first, ended: false }, target, input, new AbortController().signal);
  expect(calls).toEqual([]);
  let got = 0;
  process.on("data", (data: Buffer) => (got += data.length));
  const end = once(process, "end");
  process.resume();
  await joined;
  expect(calls).toEqual(["finished"]);
  await end;
  expect(got).toBe(typed.length);
  client.destroy();
  process.destroy();
});

test("a client that leaves while its bytes wait ends the join", async () => {
  const [client, peer] = await pair();
  const [target, process] = await pair();
  process.pause();
  const input: InputFilter = {
    push: (data) => ({ forward: data, last: true }),
    finished: () => expect.unreachable(),
    flush: () => new Uint8Array(),
  };
  const abort = new AbortController();
  const joined = joinSockets(
    { socket: peer, first: Buffer.alloc(16 << 20), ended: false },
    target,
    input,
    abort.signal,
  );
  client.destroy();
  abort.abort();
  await joined;
  process.destroy();
});

for (const text of ["", "some input"])
  test(`an end of the input that came before the join is passed on: ${JSON.stringify(text)} before it`, async () => {
    const [client, peer] = await pair();
    const [target, process] = await pair();
    client.resume();
    peer.resume();
    peer.pause();
    const ended = once(peer, "end");
    client.end(text);
    // Without input the runtime reports the end of a paused socket; with input only when that is read.
    if (text === "") await ended;
    const input: InputFilter = {
      push: (data) => ({ forward: data, last: false }),
      finished: () => undefined,
      flush: () => new Uint8Array(),
    };
    const joined = joinSockets(
      { socket: peer, first: Buffer.alloc(0), ended: false },
      target,
      input,
      new AbortController().signal,
    );
    let got = "";
    process.on("data", (data: Buffer) => (got += data.toString()));
    await once(process, "end");
    expect(got).toBe(text);
    process.end();
    await joined;
  });
