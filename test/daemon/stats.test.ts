/** Statistics of real containers: what the docker CLI shows of them, and when a stream ends. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("stats");
  await daemon.start();
  daemon.loadImage();
});
afterAll(() => daemon.close());

const percent = (text: string): number => Number(text.replace(/%\s*$/, ""));

test("the CLI shows a busy container's share of the processors, and none for a sleeping one", () => {
  daemon.docker("run", "-d", "--name", "busy", daemon.image, "sh", "-c", "while :; do :; done");
  daemon.docker("run", "-d", "--name", "quiet", daemon.image, "sleep", "1000");
  const share = (name: string): number =>
    percent(daemon.docker("stats", "--no-stream", "--format", "{{.CPUPerc}}", name));
  const busy = share("busy");
  // Other programs may leave it little of a processor, but never nothing; and it has one thread.
  expect(busy).toBeGreaterThan(2);
  expect(busy).toBeLessThan(130);
  expect(share("quiet")).toBeLessThan(2);
  daemon.docker("rm", "-f", "busy", "quiet");
});

test("bytes that a container receives and writes are counted", async () => {
  daemon.docker("run", "-d", "--name", "net", daemon.image, "sh", "-c", "while :; do nc -l -p 80 >/dev/null; done");
  const address = daemon.docker("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "net").trim();
  interface Stats {
    readonly networks: Readonly<Record<string, { readonly rx_bytes: number }>>;
  }
  const received = async (): Promise<number> => {
    const { json } = await daemon.api<Stats>("GET", "/containers/net/stats?stream=0&one-shot=1");
    return json.networks["eth0"]!.rx_bytes;
  };
  const before = await received();
  await until(
    "it takes 100 kB",
    () => daemon.run("bash", "-c", `head -c 100000 /dev/zero >/dev/tcp/${address}/80`).code === 0,
  );
  await until("they are counted", async () => (await received()) >= before + 100_000);
  daemon.docker("rm", "-f", "net");
});

test("a stream has an answer a second, goes on over a stop, and ends when the container is removed", async () => {
  daemon.docker("run", "-d", "--name", "box", daemon.image, "sleep", "1000");
  const client = daemon.talk(["curl", "-sN", "--unix-socket", daemon.socket, "http://d/containers/box/stats"]);
  const answers = (): { readonly pids: number; readonly before: string }[] =>
    client
      .out()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line))
      .map(({ pids_stats, preread }) => ({ pids: pids_stats.current ?? 0, before: preread }));
  await until("two answers", () => answers().length >= 2);
  expect(answers()[0]).toEqual({ pids: 1, before: "0001-01-01T00:00:00Z" });
  expect(answers()[1]!.before).not.toBe("0001-01-01T00:00:00Z");
  daemon.docker("stop", "-t", "0", "box");
  await until("an answer without processes", () => answers().at(-1)?.pids === 0);
  daemon.docker("start", "box");
  await until("an answer with a process", () => answers().at(-1)?.pids === 1);
  daemon.docker("rm", "-f", "box");
  expect(await client.exited).toBe(0);
});

test("one answer of a stream cannot be asked for", async () => {
  daemon.docker("create", "--name", "new", daemon.image, "true");
  const { status, json } = await daemon.api<{ message: string }>("GET", "/containers/new/stats?one-shot=1");
  expect([status, json.message]).toEqual([400, "cannot have stream=true and one-shot=true"]);
  daemon.docker("rm", "new");
});
