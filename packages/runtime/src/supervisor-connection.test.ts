import { expect, test } from "bun:test";
import { createSys, SOCK_STREAM } from "@fathom/sys";
import { SupervisorConnection } from "./supervisor-connection.ts";
import { frame, MessageParser, messageTypes, type Message } from "./supervisor-protocol.ts";
import { WireReader, WireWriter } from "./wire.ts";

const sys = createSys();

/** The supervisor's end of a connection: reads what is asked, says what the test has it say. */
class FakePeer implements Disposable {
  readonly connection: SupervisorConnection;
  readonly received: Message[] = [];
  readonly fd: number;
  readonly #parser = new MessageParser();

  constructor() {
    const [ours, theirs] = sys.socketpair(SOCK_STREAM, true);
    this.fd = theirs;
    this.connection = new SupervisorConnection(sys, ours);
  }

  async next(): Promise<Message> {
    for (let turn = 0; turn < 1000; turn++) {
      const got = sys.receiveMessage(this.fd, 65536);
      if (got !== undefined && got.data.length === 0) throw new Error("the connection has ended");
      if (got !== undefined) this.received.push(...this.#parser.push(got.data));
      const message = this.received.shift();
      if (message !== undefined) return message;
      await Bun.sleep(2);
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

test("the first message is a hello with version and features, and its answer says what the other side speaks", async () => {
  using peer = new FakePeer();
  const asked = peer.connection.request(messageTypes.state, new Uint8Array());
  const hello = await peer.next();
  expect(hello.type).toBe(messageTypes.hello);
  const reader = new WireReader(hello.payload);
  expect(reader.u32()).toBe(2);
  expect(reader.u32()).toBe(0);
  const state = await peer.next();
  expect(state.type).toBe(messageTypes.state);
  // A newer one: an unknown feature, and more behind what is known.
  const answer = new WireWriter().u32(7).list(["warp"], () => undefined);
  answer.text("warp").text("more").u32(99);
  peer.say(messageTypes.ok, hello.id, answer.finish());
  peer.say(messageTypes.ok, state.id, Uint8Array.of(1));
  expect(await peer.connection.peer).toEqual({ version: 7, features: new Set(["warp"]) });
  expect(await asked).toEqual(Uint8Array.of(1));
});

test("one that does not know the hello is of version 1, and is asked all the same", async () => {
  using peer = new FakePeer();
  const hello = await peer.next();
  peer.refuse(hello.id, 38);
  expect(await peer.connection.peer).toEqual({ version: 1, features: new Set() });
  const asked = peer.connection.request(messageTypes.state, new Uint8Array());
  const state = await peer.next();
  peer.say(messageTypes.ok, state.id);
  expect(await asked).toEqual(new Uint8Array());
});

test("messages of kinds that this daemon does not know are skipped by their length", async () => {
  using peer = new FakePeer();
  const hello = await peer.next();
  peer.say(150, 0, new Uint8Array(5000));
  peer.say(151, 4711, new Uint8Array(3));
  peer.refuse(hello.id, 38);
  expect((await peer.connection.peer).version).toBe(1);
  expect(peer.connection.isOpen).toBe(true);
});
