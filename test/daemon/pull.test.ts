/** What a pull costs and leaves: memory, clients that hang up, pulls that share work, a daemon that stops during a pull. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { TestDaemon, until, type Conversation } from "./harness.ts";

const host = "127.0.0.1:5999";
let daemon: TestDaemon;
let registry: Bun.Subprocess;

beforeAll(async () => {
  daemon = new TestDaemon("pull");
  await daemon.start();
  registry = daemon.begin(process.execPath, resolve(import.meta.dir, "big-registry.ts"), "5999");
  await until("the registry answers", () => daemon.run("curl", "-sf", `http://${host}/v2/`).code === 0);
}, 60_000);

afterAll(async () => {
  registry.kill("SIGKILL");
  await daemon.close();
}, 60_000);

interface Counts {
  readonly counts: Readonly<Record<string, number>>;
  readonly open: number;
  readonly waiting: number;
}
const asked = (): Counts => JSON.parse(daemon.run("curl", "-sf", `http://${host}/counts`).out) as Counts;
const go = (): void => void daemon.run("curl", "-sf", "-X", "POST", `http://${host}/go`);
const pull = (name: string): Conversation => daemon.talk(["docker", "pull", `${host}/${name}`]);
const list = (path: string): string[] =>
  readdirSync(join(daemon.dataRoot, path)).filter((name) => name !== "l" && name !== "trash");

/** Digests of the image's layers, the small one first. */
function layers(name: string): readonly [string, string] {
  const [repository, tag] = name.split(":");
  const { out } = daemon.run("curl", "-sf", `http://${host}/v2/${repository}/manifests/${tag}`);
  const [small, large] = (JSON.parse(out) as { layers: { digest: string }[] }).layers;
  return [small!.digest, large!.digest];
}

/** Waits until the small layer is stored and half of the large one was sent. */
async function half(name: string): Promise<void> {
  const [small] = layers(name);
  await until("the small layer is there", () => list("content/sha256").includes(small.slice("sha256:".length)));
  await until("half of the large one was sent", () => asked().waiting === 1);
}

test("when a client hangs up, its pull ends; verified blobs stay and are not fetched again", async () => {
  const [small, large] = layers("held:30");
  const client = pull("held:30");
  await half("held:30");
  client.kill();
  await until("the transfer has ended", () => asked().open === 0);
  await until("no half blob is left", () => list("content/tmp").length === 0);
  // Layers get their place from the lowest up; the large one has none yet.
  await until("no half layer is left", () => list("overlay2").length <= 1);
  expect(daemon.docker("images", "-q")).toBe("");

  const again = pull("held:30");
  await half("held:30");
  go();
  expect(await again.exited).toBe(0);
  expect(asked().counts).toMatchObject({ [small]: 1, [large]: 2 });
}, 60_000);

test("pulls at the same time share their work, and continue when one of them leaves", async () => {
  const [, large] = layers("held:31");
  const first = pull("held:31");
  const same = pull("held:31");
  const twin = pull("twin:31");
  const downloading = ({ out }: Conversation): boolean => out().includes("Pulling fs layer");
  await until("all pulls download", () => [first, same, twin].every(downloading));
  await half("held:31");
  first.kill();
  await first.exited;
  expect(asked()).toMatchObject({ open: 1, waiting: 1 });
  go();
  expect([await same.exited, await twin.exited]).toEqual([0, 0]);
  expect(asked().counts[large]).toBe(1);
  const ids = daemon.docker("images", "-q", "--no-trunc", "--filter", "reference=*/*:31").split("\n");
  expect(ids).toEqual([ids[0]!, ids[0]!]);
}, 60_000);

test("a daemon that stops ends the pull, and nothing half done is left", async () => {
  const client = pull("held:32");
  await half("held:32");
  await daemon.stop();
  expect(await client.exited).not.toBe(0);
  expect(list("content/tmp")).toEqual([]);
  await until("the transfer has ended", () => asked().open === 0);
  await daemon.start();
  const again = pull("held:32");
  await half("held:32");
  go();
  expect(await again.exited).toBe(0);
}, 60_000);

/** Resident memory in MB. */
const resident = (): number =>
  Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))![1]) / 1024;

test("a large layer uses little memory, and the daemon returns it", async () => {
  await until("the daemon needs little memory", () => resident() < 60);
  const before = resident();
  const client = pull("big:600");
  let peak = before;
  let pulling = true;
  void client.exited.then(() => (pulling = false));
  while (pulling) {
    peak = Math.max(peak, resident());
    await Bun.sleep(20);
  }
  expect(await client.exited).toBe(0);
  await until("the memory is released", () => resident() < before + 40);
  const [low, high, after] = [before, peak, resident()].map((value) => value.toFixed(0));
  console.log(`pull of a 600 MB layer: ${low} MB resident before, ${high} MB at most, ${after} MB later`);
  expect(peak - before).toBeLessThan(250);
}, 120_000);
