/** Log drivers of real containers, with receivers in the daemon's network. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("log-drivers");
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

const program = resolve(import.meta.dir, "log-receiver.ts");
let nextPort = 5140;

/** A TCP receiver in the daemon's network namespace. */
class Receiver {
  readonly port = nextPort++;
  readonly #file: string;
  #child: Bun.Subprocess | undefined;

  constructor() {
    this.#file = join(daemon.work, `received-${this.port}`);
  }

  async start(): Promise<this> {
    rmSync(this.#file, { force: true });
    this.#child = daemon.begin(process.execPath, program, String(this.port), this.#file);
    await until("the receiver listens", () => existsSync(this.#file));
    return this;
  }

  async stop(): Promise<void> {
    this.#child?.kill();
    await this.#child?.exited;
  }

  get text(): string {
    return existsSync(this.#file) ? readFileSync(this.#file, "latin1") : "";
  }
}

const numbers = (text: string): number[] => [...text.matchAll(/line (\d+)/g)].map(([, n]) => Number(n));
const upTo = (last: number): number[] => Array.from({ length: last }, (_none, index) => index + 1);
const print = (count: number): string => `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); echo line $i; done`;

test("syslog gets everything, docker logs reads it back, and --rm waits until it is sent", async () => {
  const receiver = await new Receiver().start();
  const options = [
    "--log-driver=syslog",
    `--log-opt=syslog-address=tcp://127.0.0.1:${receiver.port}`,
    "--log-opt=syslog-format=rfc5424",
    "--log-opt=tag={{.Name}}/{{.ImageName}}",
  ];
  daemon.docker("run", "--name", "web", ...options, daemon.image, "sh", "-c", `${print(3000)}; echo bad >&2`);
  await until("the last line arrives", () => receiver.text.includes("bad"));
  expect(numbers(receiver.text)).toEqual(upTo(3000));
  expect(receiver.text).toMatch(
    /^<30>1 \S+ \S+ web\/localhost\/busybox:test \d+ web\/localhost\/busybox:test - line 1\n/,
  );
  expect(receiver.text).toMatch(/<27>1 .* - bad\n$/);
  expect(numbers(daemon.docker("logs", "--tail", "2", "web"))).toEqual([3000]);
  expect(daemon.docker("inspect", "-f", "{{.HostConfig.LogConfig.Type}} {{json .LogPath}}", "web")).toBe('syslog ""');
  daemon.docker("run", "--rm", "--name", "gone", ...options, daemon.image, "echo", "the last words");
  expect(receiver.text).toContain("gone/localhost/busybox:test - the last words");
  await receiver.stop();
}, 60_000);

const datagramReceiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    data = s.recv(1 << 20)
    with open(sys.argv[2], "ab") as f:
        f.write(data)
`;

test("syslog over a unix datagram socket; an address without a socket is rejected at create", async () => {
  const socket = join(daemon.work, "log.sock");
  const file = join(daemon.work, "datagrams");
  const options = ["--log-driver=syslog", `--log-opt=syslog-address=unixgram://${socket}`];
  expect(daemon.run("docker", "create", ...options, daemon.image, "true").err).toContain(
    `stat ${socket}: no such file or directory`,
  );
  const child = daemon.begin("python3", "-c", datagramReceiver, socket, file);
  await until("the receiver listens", () => existsSync(socket));
  daemon.docker("run", "--rm", ...options, daemon.image, "sh", "-c", print(500));
  await until("the last line arrives", () => existsSync(file) && readFileSync(file, "utf8").includes("line 500\n"));
  expect(numbers(readFileSync(file, "utf8"))).toEqual(upTo(500));
  child.kill();
  await child.exited;
}, 60_000);

test("what a container prints while no daemon runs, or after a kill, is sent by the next daemon", async () => {
  const receiver = await new Receiver().start();
  const script = `${print(200)}; while [ ! -e /go ]; do sleep 0.1; done; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; done; echo end`;
  const options = ["--log-driver=gelf", `--log-opt=gelf-address=tcp://127.0.0.1:${receiver.port}`];
  daemon.docker("run", "-d", "--name", "long", ...options, daemon.image, "sh", "-c", script);
  await until("the first lines arrive", () => numbers(receiver.text).length >= 200);
  const root = `/proc/${daemon.pidOf("long")}/root`;
  await daemon.kill();
  await Bun.write(join(root, "go"), "");
  const directory = join(daemon.dataRoot, "containers");
  const spool = readdirSync(directory).map((id) => join(directory, id, "container-cached.log"));
  await until("the container has ended", () =>
    spool.some((path) => existsSync(path) && readFileSync(path, "utf8").includes('"end\\n"')),
  );
  await daemon.start();
  await until("the rest arrives", () => receiver.text.includes('"short_message":"end"'));
  // Records after the last written position may arrive twice, and never in another order.
  const got = numbers(receiver.text);
  expect([...new Set(got)]).toEqual(upTo(400));
  expect(got.length).toBeLessThanOrEqual(600);
  await receiver.stop();
}, 60_000);

test("a start fails in Docker's words when the receiver is away; fluentd-async starts and sends later", async () => {
  const receiver = new Receiver();
  const options = ["--log-driver=fluentd", `--log-opt=fluentd-address=127.0.0.1:${receiver.port}`];
  const refused = daemon.run("docker", "run", "--name", "none", ...options, daemon.image, "true");
  expect([refused.code, refused.err]).toEqual([
    125,
    expect.stringContaining(
      `failed to create task for container: failed to initialize logging driver: dial tcp 127.0.0.1:${receiver.port}: connect: connection refused`,
    ),
  ]);
  daemon.docker(
    "run",
    "--name",
    "later",
    ...options,
    "--log-opt=fluentd-async=true",
    daemon.image,
    "sh",
    "-c",
    print(3),
  );
  expect(numbers(daemon.docker("logs", "later"))).toEqual([1, 2, 3]);
  await receiver.start();
  await until("the lines arrive", () => numbers(receiver.text).length === 3);
  expect(receiver.text).toContain("container_name");
  await receiver.stop();
}, 60_000);

test("without a cache there is no docker logs; a removal does not wait for ever", async () => {
  const receiver = await new Receiver().start();
  const options = ["--log-driver=syslog", `--log-opt=syslog-address=tcp://127.0.0.1:${receiver.port}`];
  const name = ["--name", "secret", "--log-opt=cache-disabled=true"];
  daemon.docker("run", ...name, ...options, daemon.image, "echo", "hidden");
  const { code, err } = daemon.run("docker", "logs", "secret");
  expect([code, err]).toEqual([1, expect.stringContaining("configured logging driver does not support reading")]);
  await until("it is sent all the same", () => receiver.text.includes("hidden"));
  daemon.docker("run", "-d", "--name", "stuck", ...options, daemon.image, "sh", "-c", "sleep 1000");
  await receiver.stop();
  daemon.docker("exec", "stuck", "sh", "-c", "echo unsent >/proc/1/fd/1");
  expect(daemon.docker("rm", "-f", "stuck")).toBe("stuck");
}, 60_000);

/** The entries of a local log, decoded as strictly as Docker does: a length, a message, the same length. */
function entriesOf(file: string): string[] {
  const data = readFileSync(file);
  const lines: string[] = [];
  for (let at = 0; at < data.length;) {
    const length = data.readUInt32BE(at);
    const message = data.subarray(at + 4, at + 4 + length);
    expect(data.readUInt32BE(at + 4 + length)).toBe(length);
    expect(message.toString("latin1")).toStartWith("\n\x06std");
    lines.push(message.toString("latin1"));
    at += length + 8;
  }
  return lines;
}

test("local has Docker's own form; docker logs shows lines, long lines, other bytes, streams, times and attributes", () => {
  const script = String.raw`echo one; sleep 0.1; echo two >&2; sleep 0.1; head -c 40000 /dev/zero | tr '\0' x; echo; printf 'a\377b\n'; printf 'no end'`;
  const options = ["--log-driver=local", "--label=role=web", "--log-opt=labels=role", "--log-opt=tag={{.Name}}"];
  daemon.docker("run", "--name", "own", ...options, daemon.image, "sh", "-c", script);
  const id = daemon.docker("inspect", "-f", "{{.Id}}", "own");
  const entries = entriesOf(join(daemon.dataRoot, "containers", id, "local-logs", "container.log"));
  expect(entries).toHaveLength(7);
  const { out, err } = daemon.run("docker", "logs", "own");
  expect([out, err]).toEqual([`one\n${"x".repeat(40_000)}\na\ufffdb\nno end`, "two\n"]);
  expect(daemon.run("docker", "logs", "--details", "-n", "1", "own").out).toBe("role=web,tag=own no end");
  expect(daemon.run("docker", "logs", "-n", "3", "own").out).toBe(`${"x".repeat(40_000)}\na\ufffdb\nno end`);
  const [first] = daemon.run("docker", "logs", "-t", "own").out.split(" ");
  expect(Math.abs(Date.parse(first!) - Date.now())).toBeLessThan(60_000);
  daemon.docker("start", "-a", "own");
  expect(daemon.run("docker", "logs", "own").err).toBe("two\ntwo\n");
});

test("a local log rotates, is compressed without an option, and a log of an earlier version is read with it", async () => {
  const options = ["--log-driver=local", "--log-opt=max-size=20k", "--log-opt=max-file=60"];
  daemon.docker("create", "--name", "many", ...options, daemon.image, "sh", "-c", `${print(5000)}; sleep 1000`);
  const folder = join(daemon.dataRoot, "containers", daemon.docker("inspect", "-f", "{{.Id}}", "many"), "local-logs");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "container.log"), '{"log":"line 0\\n","stream":"stdout","time":"2020-01-01T00:00:00Z"}\n');
  daemon.docker("start", "many");
  const all = [0, ...upTo(5000)];
  await until("it has written all", () => daemon.docker("logs", "-n", "1", "many") === "line 5000");
  expect(numbers(daemon.docker("logs", "many"))).toEqual(all);
  const rotated = (): string[] => readdirSync(folder).filter((name) => name !== "container.log");
  await until("all rotated files are compressed", () => rotated().every((name) => name.endsWith(".gz")));
  expect(rotated().length).toBeGreaterThan(5);
  expect(numbers(daemon.docker("logs", "many"))).toEqual(all);
  expect(numbers(daemon.docker("logs", "-n", "3000", "many"))).toEqual(all.slice(-3000));
}, 60_000);

test("rotated files are compressed, and the log reads as one", async () => {
  const options = ["--log-opt=max-size=20k", "--log-opt=max-file=100", "--log-opt=compress=true"];
  const script = `${print(2000)}; sleep 1000`;
  daemon.docker("run", "-d", "--name", "packed", ...options, daemon.image, "sh", "-c", script);
  const directory = dirname(daemon.docker("inspect", "-f", "{{.LogPath}}", "packed"));
  const files = (): string[] => readdirSync(directory).filter((name) => /-json\.log\.\d+/.test(name));
  await until(
    "all rotated files are compressed",
    () => files().length > 5 && files().every((name) => name.endsWith(".gz")),
  );
  expect(numbers(daemon.docker("logs", "packed"))).toEqual(upTo(2000));
  // The supervisor moves compressed files too.
  const before = files().length;
  daemon.docker(
    "exec",
    "packed",
    "sh",
    "-c",
    "j=0; while [ $j -lt 1000 ]; do j=$((j+1)); echo more $j; done >/proc/1/fd/1",
  );
  await until(
    "more files are compressed",
    () => files().length > before && files().every((name) => name.endsWith(".gz")),
  );
  const log = daemon.docker("logs", "packed");
  expect(numbers(log)).toEqual(upTo(2000));
  expect([...log.matchAll(/more (\d+)/g)].map(([, n]) => Number(n))).toEqual(upTo(1000));
}, 90_000);
