import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("reach");
  await daemon.start();
  daemon.loadImage();
});
afterAll(() => daemon.close());

const logged = async (name: string, text: string): Promise<void> =>
  until(`${name} prints ${text}`, () => daemon.docker("logs", name).includes(text));

/** A connection that an endpoint has taken over (hijack), as a client has it. */
interface Hijacked {
  readonly socket: Socket;
  readonly text: () => string;
  readonly closed: Promise<void>;
}

async function hijack(path: string, body = ""): Promise<Hijacked> {
  const socket = connect(daemon.socket);
  let text = "";
  socket.on("data", (data: Buffer) => (text += data.toString("latin1")));
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await until("the connection is taken over", () => text.includes("101 UPGRADED"));
  return { socket, text: () => text, closed };
}

async function create(name: string, command: string, more: object = {}): Promise<string> {
  const { status, json } = await daemon.api<{ Id: string }>("POST", `/containers/create?name=${name}`, {
    Image: daemon.image,
    Cmd: ["sh", "-c", command],
    HostConfig: { NetworkMode: "none" },
    ...more,
  });
  expect(status).toBe(201);
  return json.Id;
}

describe("docker kill --signal reaches the container's process", () => {
  const command =
    "trap 'echo got-usr1' USR1; trap 'echo got-hup' HUP; trap 'echo got-winch' WINCH; trap 'echo got-rt' 37; echo ready; while :; do sleep 0.05; done";
  test.each<[string, string[]]>([
    ["plain", []],
    ["with a terminal", ["-t"]],
    ["with --init", ["--init"]],
    ["with a terminal and --init", ["-t", "--init"]],
    ["with the host's processes", ["--pid", "host"]],
  ])("%s", async (_, flags) => {
    daemon.docker("run", "-d", "--name", "signalled", "--network", "none", ...flags, daemon.image, "sh", "-c", command);
    await logged("signalled", "ready");
    for (const [signal, word] of [
      ["USR1", "got-usr1"],
      ["SIGHUP", "got-hup"],
      ["28", "got-winch"],
      ["RTMIN+3", "got-rt"],
    ] as const) {
      daemon.docker("kill", "-s", signal, "signalled");
      await logged("signalled", word);
    }
    expect(daemon.docker("inspect", "-f", "{{.State.Status}}", "signalled")).toBe("running");
    daemon.docker("kill", "signalled");
    expect(daemon.docker("inspect", "-f", "{{.State.ExitCode}}", "signalled")).toBe("137");
    daemon.docker("rm", "signalled");
  });
});

describe("a resize", () => {
  const watch = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done";

  test("of a container reaches its terminal, before others and after", async () => {
    const id = await create("sized", watch, { Tty: true });
    await daemon.api("POST", `/containers/${id}/start`);
    for (const [rows, columns] of [
      [33, 101],
      [7, 20],
    ]) {
      expect((await daemon.api("POST", `/containers/${id}/resize?h=${rows}&w=${columns}`)).status).toBe(200);
      await logged("sized", `${rows} ${columns}`);
    }
    daemon.docker("rm", "-f", "sized");
  });

  test("of an exec reaches its terminal and no other", async () => {
    const id = await create("outer", watch, { Tty: true });
    await daemon.api("POST", `/containers/${id}/start`);
    const made = [];
    for (const _ of [1, 2])
      made.push(
        (
          await daemon.api<{ Id: string }>("POST", `/containers/${id}/exec`, {
            Cmd: ["sh", "-c", watch],
            Tty: true,
            AttachStdout: true,
            ConsoleSize: [11, 22],
          })
        ).json.Id,
      );
    const [first, second] = [
      await hijack(`/v1.47/exec/${made[0]}/start`, '{"Tty":true}'),
      await hijack(`/v1.47/exec/${made[1]}/start`, '{"Tty":true}'),
    ];
    await until(
      "both terminals have their size",
      () => first.text().includes("11 22") && second.text().includes("11 22"),
    );
    expect((await daemon.api("POST", `/exec/${made[0]}/resize?h=44&w=55`)).status).toBe(200);
    await until("the exec gets its size", () => first.text().includes("44 55"));
    expect((await daemon.api("POST", `/exec/${made[1]}/resize?h=5&w=6`)).status).toBe(200);
    await until("the other gets its size", () => second.text().includes("5 6"));
    expect([first.text().includes("5 6\r"), second.text().includes("44 55")]).toEqual([false, false]);
    expect(daemon.docker("logs", "outer")).not.toContain("44 55");
    daemon.docker("rm", "-f", "outer");
    first.socket.destroy();
    second.socket.destroy();
  });
});

describe("a detach", () => {
  /** The keys as the API names them, the bytes that are typed, and the request that has the keys. */
  const cases: readonly (readonly [string, string, string, string])[] = [
    ["the usual keys", "", "", "\x10\x11"],
    ["keys of the attach", "detachKeys=ctrl-x,y", "", "\x18y"],
    ["keys of the start", "", "detachKeys=ctrl-a,d", "\x01d"],
    ["keys of both: the attach's count", "detachKeys=ctrl-x", "detachKeys=ctrl-a", "a\x01\x18"],
  ];
  test.each(cases)("%s", async (_, attach, start, typed) => {
    const id = await create("detached", "read x; echo more; sleep 1000", { Tty: true, OpenStdin: true });
    const client = await hijack(`/v1.47/containers/${id}/attach?stream=1&stdin=1&stdout=1&${attach}`);
    expect((await daemon.api("POST", `/containers/${id}/start?${start}`)).status).toBe(204);
    client.socket.write(typed);
    await client.closed;
    expect(daemon.docker("inspect", "-f", "{{.State.Status}}", "detached")).toBe("running");
    const { json } = await daemon.api<{ Action: string }>(
      "GET",
      `/events?since=${Date.now() / 1000 - 60}&until=${Date.now() / 1000}&filters=${JSON.stringify({ container: [id], event: ["detach"] })}`,
    );
    expect(json.Action).toBe("detach");
    daemon.docker("rm", "-f", "detached");
  });

  test("the detach keys of a start apply to clients that attach later to that run, and only to that run", async () => {
    const id = await create("later", "sleep 1000", { Tty: true, OpenStdin: true });
    await daemon.api("POST", `/containers/${id}/start?detachKeys=ctrl-a`);
    const first = await hijack(`/v1.47/containers/${id}/attach?stream=1&stdin=1&stdout=1`);
    first.socket.write("\x01");
    await first.closed;
    await daemon.api("POST", `/containers/${id}/restart?t=0`);
    const second = await hijack(`/v1.47/containers/${id}/attach?stream=1&stdin=1&stdout=1`);
    second.socket.write("\x01\x10\x11");
    await second.closed;
    daemon.docker("rm", "-f", "later");
  });

  test("invalid detach keys are rejected at the start", async () => {
    const id = await create("refused", "true", { Tty: true });
    const { status, json } = await daemon.api<{ message: string }>(
      "POST",
      `/containers/${id}/start?detachKeys=ctrl-%21`,
    );
    expect([status, json.message]).toEqual([400, "Invalid detach keys (ctrl-!) provided"]);
    daemon.docker("rm", "refused");
  });

  test.each([
    ["the usual keys", "", "\x10\x11"],
    ["keys of its own", "ctrl-x,y", "\x18y"],
  ])("an exec that is detached with %s keeps running", async (_, DetachKeys, typed) => {
    const id = await create("host", "sleep 1000");
    await daemon.api("POST", `/containers/${id}/start`);
    const exec = await daemon.api<{ Id: string }>("POST", `/containers/${id}/exec`, {
      Cmd: ["cat"],
      Tty: true,
      AttachStdin: true,
      AttachStdout: true,
      DetachKeys,
    });
    const client = await hijack(`/v1.47/exec/${exec.json.Id}/start`, '{"Tty":true}');
    client.socket.write("hello\n");
    await until("it answers", () => client.text().includes("hello\r\nhello"));
    client.socket.write(typed);
    await client.closed;
    expect((await daemon.api<{ Running: boolean }>("GET", `/exec/${exec.json.Id}/json`)).json.Running).toBe(true);
    daemon.docker("rm", "-f", "host");
  });
});
