import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { createSys, SOCK_STREAM } from "@fathom/sys";
import { SupervisorConnection } from "./connection.ts";
import { frame, MessageParser, messageTypes, type Message } from "./protocol.ts";
import { WireReader, WireWriter } from "../plan/wire.ts";

const sys = createSys();

/** The supervisor's end of a connection: reads the requests, and sends what the test decides. */
class FakePeer implements Disposable {
  readonly connection: SupervisorConnection;
  readonly received: Message[] = [];
  /** Descriptors that arrived, until the test takes them. */
  readonly fds: number[] = [];
  readonly fd: number;
  readonly #parser = new MessageParser();

  constructor() {
    const [ours, theirs] = sys.socketpair(SOCK_STREAM, true);
    this.fd = theirs;
    this.connection = new SupervisorConnection(sys, ours);
  }

  async next(): Promise<Message> {
    for (let turn = 0; turn < 5000; turn++) {
      const message = this.received.shift();
      if (message !== undefined) return message;
      const got = sys.receiveMessage(this.fd, 65536);
      if (got === undefined) {
        await Bun.sleep(2);
        continue;
      }
      if (got.data.length === 0) throw new Error("the connection has ended");
      this.fds.push(...got.fds);
      this.received.push(...this.#parser.push(got.data));
    }
    throw new Error("no message came");
  }

  say(type: number, id: number, payload: Uint8Array = new Uint8Array()): void {
    sys.sendMessage(this.fd, frame(type, id, payload), []);
  }

  refuse(id: number, errno: number): void {
    this.say(messageTypes.error, id, new WireWriter().u32(0xffffffff).u32(errno).text("request").text("no").finish());
  }

  [Symbol.dispose](): void {
    this.connection.close();
    sys.close(this.fd);
  }
}

test("the first message is a hello with version and features, and the answer of a newer side is no error", async () => {
  using peer = new FakePeer();
  const asked = peer.connection.request(messageTypes.state, new Uint8Array());
  const hello = await peer.next();
  expect(hello.type).toBe(messageTypes.hello);
  const reader = new WireReader(hello.payload);
  expect(reader.u32()).toBe(2);
  expect(reader.u32()).toBe(0);
  const state = await peer.next();
  expect(state.type).toBe(messageTypes.state);
  // A newer one: an unknown feature, and more bytes after the known fields.
  const answer = new WireWriter().u32(7).list(["warp"], () => undefined);
  answer.text("warp").text("more").u32(99);
  peer.say(messageTypes.ok, hello.id, answer.finish());
  peer.say(messageTypes.ok, state.id, Uint8Array.of(1));
  expect(await asked).toEqual(Uint8Array.of(1));
});

test("a supervisor that does not know hello still gets requests", async () => {
  using peer = new FakePeer();
  const hello = await peer.next();
  peer.refuse(hello.id, 38);
  const asked = peer.connection.request(messageTypes.state, new Uint8Array());
  const state = await peer.next();
  peer.say(messageTypes.ok, state.id);
  expect(await asked).toEqual(new Uint8Array());
});

test("messages of unknown types are skipped by their length", async () => {
  using peer = new FakePeer();
  const asked = peer.connection.request(messageTypes.state, new Uint8Array());
  peer.refuse((await peer.next()).id, 38);
  const state = await peer.next();
  peer.say(150, 0, new Uint8Array(5000));
  peer.say(151, 4711, new Uint8Array(3));
  peer.say(messageTypes.ok, state.id, Uint8Array.of(1));
  expect(await asked).toEqual(Uint8Array.of(1));
  expect(peer.connection.isOpen).toBe(true);
});

test("a silent supervisor gets another hello, is suspected, and given up; later messages end the silence", async () => {
  using peer = new FakePeer();
  const hello = await peer.next();
  peer.refuse(hello.id, 38);
  const silences: (string | undefined)[] = [];
  peer.connection.onSilence = (reason) => void silences.push(reason);
  // Code that knows that it is stopped does not wait for the end of the patience.
  peer.connection.onSuspect = () => peer.connection.giveUp("it is stopped");
  const late: Uint8Array[] = [];
  const asked = peer.connection.request(messageTypes.exec, new Uint8Array(), [], {
    late: (payload) => void late.push(payload),
  });
  const failure = await asked.catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "unavailable" });
  expect(String(failure)).toContain("it is stopped");
  expect(peer.connection.isOpen).toBe(true);
  const exec = await peer.next();
  expect((await peer.next()).type).toBe(messageTypes.hello);
  // While it is silent, no more requests are queued for it.
  await expect(peer.connection.request(messageTypes.state, new Uint8Array())).rejects.toThrow("it is stopped");
  const waits = peer.connection.request(messageTypes.state, new Uint8Array());
  peer.say(messageTypes.ok, exec.id, Uint8Array.of(9));
  const state = await peer.next();
  expect(state.type).toBe(messageTypes.state);
  peer.say(messageTypes.ok, state.id, Uint8Array.of(1));
  expect(await waits).toEqual(Uint8Array.of(1));
  expect(late).toEqual([Uint8Array.of(9)]);
  expect(silences).toEqual(["it is stopped", undefined]);
});

test("for a supervisor that is busy but answers hello, a request waits up to its own deadline", async () => {
  using peer = new FakePeer();
  peer.refuse((await peer.next()).id, 38);
  let suspected = 0;
  peer.connection.onSuspect = () => void suspected++;
  const silences: (string | undefined)[] = [];
  peer.connection.onSilence = (reason) => void silences.push(reason);
  const asked = peer.connection.request(messageTypes.launch, new Uint8Array(), [], { deadlineMs: 3000 });
  const outcome = asked.catch((error: unknown) => error);
  expect((await peer.next()).type).toBe(messageTypes.launch);
  const answering = (async () => {
    for (;;) {
      const message = await peer.next().catch(() => undefined);
      if (message === undefined) return;
      peer.refuse(message.id, 38);
    }
  })();
  expect(await outcome).toMatchObject({ code: "timeout" });
  expect(suspected).toBe(0);
  expect(silences).toEqual([]);
  peer.connection.close();
  await answering;
});

test("an aborted request ends at once, and its connection stays", async () => {
  using peer = new FakePeer();
  peer.refuse((await peer.next()).id, 38);
  const abort = new AbortController();
  const asked = peer.connection.request(messageTypes.exec, new Uint8Array(), [], { signal: abort.signal });
  const outcome = asked.catch((error: unknown) => error);
  abort.abort(new Error("changed my mind"));
  expect(String(await outcome)).toContain("changed my mind");
  expect(peer.connection.isOpen).toBe(true);
});

test("messages for which the socket has no room wait, and arrive whole, in order, with their descriptors", async () => {
  using peer = new FakePeer();
  const before = readdirSync("/proc/self/fd").length;
  const payload = new Uint8Array(60_000).fill(7);
  const [readEnd, writeEnd] = sys.pipe(0);
  const asked = Array.from({ length: 30 }, () => peer.connection.request(messageTypes.exec, payload, [writeEnd]));
  sys.close(writeEnd);
  const outcome = Promise.all(asked);
  expect((await peer.next()).type).toBe(messageTypes.hello);
  for (let index = 0; index < asked.length; index++) {
    const message = await peer.next();
    expect(message.type).toBe(messageTypes.exec);
    expect(message.id).toBe(index + 2);
    expect(Buffer.from(message.payload).equals(payload)).toBe(true);
    peer.say(messageTypes.ok, message.id);
  }
  expect(peer.fds).toHaveLength(asked.length);
  for (const fd of peer.fds.splice(0)) sys.close(fd);
  await outcome;
  // No copy of the write end is left here.
  expect(sys.read(readEnd, new Uint8Array(1))).toBe(0);
  sys.close(readEnd);
  expect(readdirSync("/proc/self/fd").length).toBe(before);
});

test("the queue has a limit, and a request that was sent in part ends the connection when its rest cannot be sent", async () => {
  using peer = new FakePeer();
  const payload = new Uint8Array(900_000);
  const asked = Array.from({ length: 20 }, () =>
    peer.connection.request(messageTypes.exec, payload).catch((error: unknown) => error),
  );
  // The socket holds less than one of them, the queue holds eight MiB.
  expect(String(await Promise.race(asked))).toContain("it takes no requests");
  peer.connection.giveUp("it is stopped");
  expect(await peer.connection.closed).toContain("sent in part");
  for (const failure of await Promise.all(asked)) expect(failure).toMatchObject({ code: "unavailable" });
});

test("a message that arrives together with an answer reaches a listener that is added after the answer", async () => {
  using peer = new FakePeer();
  const asked = peer.connection.request(messageTypes.launch, new Uint8Array());
  await peer.next();
  const launch = await peer.next();
  const exit = Uint8Array.of(1, 2, 3);
  const both = Buffer.concat([frame(messageTypes.ok, launch.id, new Uint8Array()), frame(messageTypes.exit, 0, exit)]);
  sys.sendMessage(peer.fd, both, []);
  await asked;
  const heard: Message[] = [];
  peer.connection.onMessage = (message) => void heard.push(message);
  expect(heard.map(({ type, payload }) => [type, payload])).toEqual([[messageTypes.exit, exit]]);
});

test("messages that a supervisor sent before it closed the connection arrive, although a request after them finds the connection closed", async () => {
  const peer = new FakePeer();
  const heard: Message[] = [];
  peer.connection.onMessage = (message) => void heard.push(message);
  await peer.next();
  const exit = Uint8Array.of(1, 2, 3);
  peer.say(messageTypes.exit, 0, exit);
  sys.close(peer.fd);
  // The request comes in the same turn of the event loop, before any message of the supervisor is read.
  await expect(peer.connection.request(messageTypes.state, new Uint8Array())).rejects.toMatchObject({
    code: "unavailable",
  });
  expect(await peer.connection.closed).toContain("closed");
  expect(heard.map(({ type, payload }) => [type, payload])).toEqual([[messageTypes.exit, exit]]);
});
