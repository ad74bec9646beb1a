/** The control socket, used by peers of other versions and by faulty peers. */
import { afterAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { type Supervisor, openCgroups } from "@fathom/runtime";
import { frame, MessageParser, messageTypes, type Message, WireReader, WireWriter } from "@fathom/runtime/testing";
import { execOperation, Rig, start, sys } from "./rig.ts";
import { until } from "@fathom/base/testing";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

const hello = 10;
const place = 11;
const ENOSYS = 38;

class Peer {
  readonly socket: Socket;
  readonly messages: Message[] = [];
  closed = false;
  readonly #parser = new MessageParser();

  constructor(directory: string) {
    this.socket = connect(join(directory, "supervisor.sock"));
    this.socket.on("data", (chunk: Buffer) => this.messages.push(...this.#parser.push(chunk)));
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => (this.closed = true));
  }

  async answer(id: number): Promise<Message> {
    await until(`answer ${id}`, () => this.messages.some((message) => message.id === id));
    return this.messages.find((message) => message.id === id)!;
  }
}

async function end(supervisor: Supervisor): Promise<void> {
  await supervisor.signal(9);
  await supervisor.exit;
}

function errnoOf(message: Message): number {
  expect(message.type).toBe(messageTypes.error);
  const reader = new WireReader(message.payload);
  reader.u32();
  return reader.u32();
}

test("hello returns version and features; unknown messages are skipped by their length; bytes after known fields are ignored", async () => {
  const { supervisor, directory } = await start(rig, ["sleep", "1000"]);
  const peer = new Peer(directory);
  const greeting = new WireWriter().u32(2).u32(1).text("of a later daemon").u32(77).text("a field of a later daemon");
  peer.socket.write(
    Buffer.concat([
      frame(messageTypes.state, 1, new Uint8Array()),
      frame(4711, 2, new Uint8Array(70_000).fill(0x46)),
      frame(hello, 3, greeting.finish()),
      frame(0, 4, new Uint8Array()),
      frame(messageTypes.state, 5, new Uint8Array(100)),
    ]),
  );
  expect((await peer.answer(5)).type).toBe(messageTypes.ok);
  expect((await peer.answer(1)).type).toBe(messageTypes.ok);
  expect(errnoOf(await peer.answer(2))).toBe(ENOSYS);
  expect(errnoOf(await peer.answer(4))).toBe(ENOSYS);
  const reader = new WireReader((await peer.answer(3)).payload);
  expect(reader.u32()).toBe(2);
  const features = Array.from({ length: reader.u32() }, () => reader.text());
  expect(features).toContain("place");
  peer.socket.destroy();
  await end(supervisor);
});

test("place moves only the supervisor, and sets its score", async () => {
  const cgroup = openCgroups(sys).create(`/fathom/launcher-place-${process.pid}`);
  try {
    const { supervisor, directory } = await start(rig, ["sleep", "1000"]);
    const peer = new Peer(directory);
    const writer = new WireWriter();
    writer.list(cgroup.procsFiles, (file) => writer.text(file));
    peer.socket.write(frame(place, 1, writer.text("17").finish()));
    expect((await peer.answer(1)).type).toBe(messageTypes.ok);
    expect(cgroup.processes()).toEqual([supervisor.supervisorPid]);
    expect(readFileSync(`/proc/${supervisor.supervisorPid}/oom_score_adj`, "utf8")).toBe("17\n");
    expect(readFileSync(`/proc/${supervisor.pid}/oom_score_adj`, "utf8")).not.toBe("17\n");
    peer.socket.write(frame(place, 2, new WireWriter().u32(1).text("/none/cgroup.procs").text("").finish()));
    expect(errnoOf(await peer.answer(2))).toBe(2);
    peer.socket.destroy();
    await end(supervisor);
    await until("the supervisor leaves", () => cgroup.processes().length === 0);
  } finally {
    await cgroup.remove();
  }
});

test("a connection with a message that never ends, or without any message, is closed; one that waits stays", async () => {
  const { supervisor, directory } = await start(rig, ["sleep", "1000"]);
  const half = new Peer(directory);
  const whole = frame(messageTypes.signal, 1, new WireWriter().text("").u32(9).finish());
  half.socket.write(whole.subarray(0, whole.length - 1));
  const silent = new Peer(directory);
  const waiting = new Peer(directory);
  waiting.socket.write(frame(messageTypes.state, 1, new Uint8Array()));
  await waiting.answer(1);
  await until("the half message is given up", () => half.closed && silent.closed, { limitMs: 60_000 });
  // Nothing of the message was executed, and the other connections continue.
  waiting.socket.write(frame(messageTypes.state, 2, new Uint8Array()));
  expect((await waiting.answer(2)).type).toBe(messageTypes.ok);
  waiting.socket.destroy();
  await end(supervisor);
}, 90_000);

test("a peer that does not read loses its connection; the next peer learns what it missed", async () => {
  const { supervisor, directory } = await start(rig, ["sleep", "1000"]);
  const deaf = new Peer(directory);
  deaf.socket.pause();
  // Enough answers for the socket's buffer and the supervisor's own buffer: 2 MiB.
  const ask = Buffer.concat(Array.from({ length: 2000 }, (_, index) => frame(4711, index + 1, new Uint8Array())));
  let sent = 0;
  deaf.socket.on("drain", () => undefined);
  while (sent < 40 && !deaf.socket.destroyed) {
    await new Promise((resolve) => deaf.socket.write(ask, resolve));
    sent++;
  }
  for (let index = 0; index < 300; index++) {
    const handle = await supervisor.exec({
      execId: `exec-${index}`,
      plan: {
        version: 1,
        stem: { newNamespaces: [], cgroupProcs: [] },
        operations: [execOperation(["true"])],
        terminal: null,
      },
      openStdin: false,
      attach: [],
    });
    await handle.exit;
  }
  const next = new Peer(directory);
  next.socket.write(frame(messageTypes.state, 1, new Uint8Array()));
  await until("all exits are reported", () => {
    const ended = next.messages.filter(({ type }) => type === messageTypes.execExit);
    return new Set(ended.map(({ payload }) => new WireReader(payload).text())).size === 300;
  });
  deaf.socket.resume();
  await until("the deaf one is closed", () => deaf.closed);
  next.socket.destroy();
  await end(supervisor);
}, 30_000);
