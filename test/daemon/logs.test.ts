/** Logs of real containers: long lines, damage, size. The harness fails the test when reading them blocks the daemon. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { appendFileSync, closeSync, ftruncateSync, openSync, statSync, writeSync } from "node:fs";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("logs");
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

const logOf = (name: string): string => daemon.docker("inspect", "-f", "{{.LogPath}}", name);
const stamp = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /g;

test("a line of 50 kB has one timestamp and is one line of the tail", () => {
  const script = "echo first; head -c 50000 /dev/zero | tr '\\0' x; echo; echo last >&2";
  daemon.docker("run", "--name", "long", daemon.image, "sh", "-c", script);
  const { out, err } = daemon.run("docker", "logs", "-t", "long");
  expect(out.split("\n").map((line) => [line.match(stamp)?.length, line.replace(stamp, "").length])).toEqual([
    [1, 5],
    [1, 50_000],
    [undefined, 0],
  ]);
  expect(err.replace(stamp, "")).toBe("last\n");
  expect(daemon.docker("logs", "--tail", "2", "long")).toBe("x".repeat(50_000));
  // The last lines of two runs are two separate lines.
  daemon.docker("run", "--name", "twice", daemon.image, "printf", "no newline");
  daemon.docker("start", "-a", "twice");
  expect(daemon.docker("logs", "-t", "twice").match(stamp)).toHaveLength(2);
  expect(daemon.docker("logs", "--tail", "1", "twice")).toBe("no newline");
});

test("a log after a power loss shows every whole record, and says what it skipped", () => {
  const script = "for i in 1 2 3; do echo line$i; done";
  daemon.docker("run", "--name", "damaged", daemon.image, "sh", "-c", script);
  const path = logOf("damaged");
  const file = openSync(path, "r+");
  const { size } = statSync(path);
  // Half a record is missing and zeros follow; there the next run continues.
  ftruncateSync(file, size - 30);
  ftruncateSync(file, size + 1000);
  closeSync(file);
  daemon.docker("start", "-a", "damaged");
  const { out, err } = daemon.run("docker", "logs", "damaged");
  expect(out).toBe("line1\nline2\nline1\nline2\nline3\n");
  expect(err).toMatch(
    /^fathom: \d+ bytes that are no log records were skipped here \(.*-json\.log, from byte \d+ on\)\n$/,
  );
  expect(daemon.run("docker", "logs", "--tail", "4", "damaged").out).toBe("line2\nline1\nline2\nline3\n");
});

test("the daemon answers others while it reads a log of 300 MB, and a follower that does not read blocks nobody", async () => {
  daemon.docker("run", "-d", "--name", "large", daemon.image, "sh", "-c", "echo begin; sleep 1000");
  await until("it has written", () => daemon.docker("logs", "large") === "begin");
  const record = (n: number): string =>
    `{"log":"${n} ${"x".repeat(100)}\\n","stream":"stdout","time":"${new Date(n).toISOString()}"}\n`;
  const file = openSync(logOf("large"), "a");
  for (let from = 0; from < 1_800_000; from += 10_000)
    writeSync(file, Array.from({ length: 10_000 }, (_, index) => record(from + index)).join(""));
  closeSync(file);
  expect(daemon.docker("logs", "--since", "1s", "large")).toBe("");
  expect(daemon.docker("logs", "--tail", "1", "large")).toStartWith("1799999 ");
  // All of it is read and no record is sent, because none is of stderr.
  const reading = daemon.request("GET", `/containers/large/logs?stderr=1`);
  // Nobody reads this one.
  const idle = await daemon.request("GET", `/containers/large/logs?stdout=1&follow=1`);
  let pings = 0;
  let ended = false;
  const text = reading.then((response) => response.text()).finally(() => (ended = true));
  while (!ended) {
    expect((await daemon.request("GET", "/_ping")).status).toBe(200);
    pings++;
  }
  expect(await text).toBe("");
  expect(pings).toBeGreaterThan(10);
  await idle.body?.cancel();
  appendFileSync(logOf("large"), record(1_800_000));
  expect(daemon.docker("logs", "--tail", "1", "large")).toStartWith("1800000 ");
}, 120_000);

test("--since finds lines from before the clock was set back, in a long log and in a later run", () => {
  daemon.docker("create", "--name", "back", daemon.image, "seq", "20000");
  daemon.docker("start", "-a", "back");
  appendFileSync(logOf("back"), '{"log":"late\\n","stream":"stdout","time":"2099-01-01T00:00:00Z"}\n');
  for (let run = 0; run < 2; run++) {
    daemon.docker("start", "-a", "back");
    expect(daemon.docker("logs", "--since", "2098-01-01T00:00:00Z", "back")).toBe("late");
  }
  // Lines from after that are found as usual.
  expect(daemon.docker("logs", "--tail", "1", "--since", "1h", "back")).toBe("20000");
}, 60_000);
