import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSys, SOCK_STREAM } from "@fathom/sys";
import { createRecordingSys } from "@fathom/sys/testing";
import type { LaunchPlan } from "../plan/plan.ts";
import { conditionOf, identifyRun } from "./process-facts.ts";
import { SupervisorConnection } from "../connection/connection.ts";
import { frame, MessageParser, messageTypes, type Message } from "../connection/protocol.ts";
import { SupervisorClient } from "./client.ts";
import { WireWriter } from "../plan/wire.ts";
import { connectSupervisor } from "../connection/supervisor-socket.ts";

const sys = createSys();
let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "fathom-supervisor-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const unknown = { pid: 0, supervisorPid: 0, startedAt: "", run: undefined };

/** The supervisor's end; the test decides what it sends. */
class Peer implements Disposable {
  readonly fd: number;
  readonly connection: SupervisorConnection;
  readonly #received: Message[] = [];
  readonly #parser = new MessageParser();

  constructor() {
    const [ours, theirs] = sys.socketpair(SOCK_STREAM, true);
    this.fd = theirs;
    this.connection = new SupervisorConnection(sys, ours);
  }

  /** The next request of this type. */
  async asked(type: number): Promise<Message> {
    for (const deadline = Date.now() + 4000; Date.now() < deadline; await Bun.sleep(1)) {
      const got = sys.receiveMessage(this.fd, 65536);
      if (got !== undefined) this.#received.push(...this.#parser.push(got.data));
      const found = this.#received.find((message) => message.type === type);
      if (found !== undefined) return found;
    }
    throw new Error(`no message of type ${type} came`);
  }

  say(type: number, id: number, payload: Uint8Array): void {
    sys.sendMessage(this.fd, frame(type, id, payload), []);
  }

  [Symbol.dispose](): void {
    this.connection.close();
    sys.close(this.fd);
  }
}

test("an answer to the state request that is cut short ends the connection, not the daemon", async () => {
  using peer = new Peer();
  const client = new SupervisorClient(sys, directory, unknown, undefined);
  client.followOver(peer.connection, "not asked yet");
  const { id } = await peer.asked(messageTypes.state);
  writeFileSync(join(directory, "exit"), JSON.stringify({ code: 7, signal: 0, finishedAt: "2026-01-01T00:00:00Z" }));
  peer.say(messageTypes.ok, id, Uint8Array.of(4, 0));
  expect(await peer.connection.closed).toContain("its message is not understood");
  // Nobody listens in the directory any more: the file there counts.
  expect((await client.exit).code).toBe(7);
});

test("an end that is reported in an unknown form is still found", async () => {
  using peer = new Peer();
  const client = new SupervisorClient(sys, directory, unknown, peer.connection);
  writeFileSync(join(directory, "exit"), JSON.stringify({ code: 5, signal: 0, finishedAt: "2026-01-01T00:00:00Z" }));
  peer.say(messageTypes.exit, 0, Uint8Array.of(5, 0, 0));
  expect((await client.exit).code).toBe(5);
});

test("an answer that cannot be understood ends the wait for it", async () => {
  using peer = new Peer();
  const answer = peer.connection.request(messageTypes.signal, new Uint8Array());
  const { id } = await peer.asked(messageTypes.signal);
  peer.say(messageTypes.error, id, Uint8Array.of(1));
  await expect(answer).rejects.toThrow("its message is not understood");
});

test("a supervisor that has read the status and is stopped before it reports it is resumed", async () => {
  using peer = new Peer();
  const program = Bun.spawn(["sleep", "1000"]);
  const supervisor = Bun.spawn(["sleep", "1000"]);
  try {
    const run = identifyRun(program.pid, supervisor.pid)!;
    const client = new SupervisorClient(sys, directory, { ...unknown, run }, peer.connection);
    program.kill("SIGKILL");
    await program.exited;
    supervisor.kill("SIGSTOP");
    const stopped = (): boolean => conditionOf(run.supervisor).kind === "stopped";
    for (let turn = 0; turn < 500 && !stopped(); turn++) await Bun.sleep(1);
    expect(stopped()).toBe(true);
    client.probe();
    for (let turn = 0; turn < 500 && stopped(); turn++) await Bun.sleep(10);
    expect(conditionOf(run.supervisor).kind).toBe("running");
    client.disconnect();
  } finally {
    supervisor.kill("SIGKILL");
  }
}, 10_000);

const plan: LaunchPlan = {
  version: 1,
  stem: { newNamespaces: [], cgroupProcs: [] },
  terminal: null,
  operations: [
    // Too large for a message, so it has a descriptor.
    { kind: "exec", candidates: ["/bin/true"], argv: ["true", "x".repeat(100_000)], env: [] },
  ],
};
const attach = { stdin: false, stdout: true, stderr: true, closeStdin: true };

test("an exec that fails while it is sent leaks no descriptor: no socket left, an invalid name", async () => {
  using peer = new Peer();
  const recording = createRecordingSys();
  const client = new SupervisorClient(recording, directory, unknown, peer.connection);
  recording.failOn({ method: "socketpair", nth: 1, errno: "EMFILE" });
  const request = { execId: "a", plan, openStdin: false, attach: [attach] };
  await expect(client.exec(request)).rejects.toThrow("Too many open files");
  expect(recording.openFds).toEqual([]);
  await expect(client.exec({ ...request, execId: "a\0b" })).rejects.toThrow("a NUL byte");
  expect(recording.openFds).toEqual([]);
});

test("the process of an exec that nobody waits for is killed, also when its supervisor cannot do it", async () => {
  using peer = new Peer();
  const client = new SupervisorClient(sys, directory, unknown, peer.connection);
  const program = Bun.spawn(["sleep", "1000"]);
  const abort = new AbortController();
  const exec = client.exec({ execId: "a", plan, openStdin: false, attach: [attach] }, abort.signal);
  const asked = await peer.asked(messageTypes.exec);
  abort.abort(new Error("enough"));
  await expect(exec).rejects.toThrow("enough");
  peer.say(messageTypes.ok, asked.id, new WireWriter().u32(program.pid).finish());
  const { id } = await peer.asked(messageTypes.signal);
  const ENOMEM = 12;
  peer.say(
    messageTypes.error,
    id,
    new WireWriter().u32(0xffffffff).u32(ENOMEM).text("request").text("no memory").finish(),
  );
  await program.exited;
  expect(program.signalCode).toBe("SIGKILL");
});

test("a connection whose peer cannot be identified leaks no descriptor", () => {
  const recording = createRecordingSys({ connectUnix: () => sys.socketpair(SOCK_STREAM, true)[0] });
  recording.failOn({ method: "setNonBlocking", nth: 1, errno: "EBADF" });
  expect(() => connectSupervisor(recording, directory)).toThrow("EBADF");
  expect(recording.openFds).toEqual([]);
});
