/**
 * kill -9 of the daemon at any moment of everything, many times. After each restart every container has the state that the kernel shows,
 * nothing exists that belongs to nothing, and interrupted work can be done again. FATHOM_SEED repeats a run, as far as the machine's timing
 * allows; FATHOM_KILL_SECONDS makes it longer.
 */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runName } from "../run-name.ts";
import { removeCgroup, TestDaemon, until } from "./harness.ts";
import { randomFrom } from "@fathom/base/testing";

const seed = Number(process.env["FATHOM_SEED"] ?? Date.now() % 1_000_000_007);
const seconds = Number(process.env["FATHOM_KILL_SECONDS"] ?? 40);

const { next: random } = randomFrom(seed);

let daemon: TestDaemon;
let pulled: string;
const loaded = "localhost/loaded:1";
const committed = "localhost/committed:1";

beforeAll(async () => {
  daemon = new TestDaemon("anytime");
  await daemon.start();
  daemon.loadImage();
  const registry = await daemon.startRegistry();
  pulled = `${registry}/pulled:1`;
  makeImage(pulled);
  daemon.docker("push", pulled);
  makeImage(loaded);
  daemon.docker("save", "-o", join(daemon.work, "loaded.tar"), loaded);
  daemon.docker("rmi", pulled, loaded);
}, 60_000);

afterAll(async () => {
  await daemon.close();
  removeCgroup(otherParent);
}, 60_000);

/** Three layers on the base, with many small files and some large. */
function makeImage(name: string): void {
  let from = daemon.image;
  for (const layer of ["a", "b", "c"]) {
    const script = `mkdir /${layer}; for i in $(seq 200); do echo ${name} $i > /${layer}/$i; done; head -c 4000000 /dev/urandom > /${layer}/large`;
    daemon.docker("run", "--name", "making", from, "sh", "-c", script);
    daemon.docker("commit", "making", name);
    daemon.docker("rm", "making");
    from = name;
  }
}

interface Inspection {
  readonly State: { Pid: number; Running: boolean; Status: string };
  readonly NetworkSettings: {
    Networks: Record<string, { IPAddress: string }>;
    Ports: Record<string, { HostPort: string }[] | null>;
  };
}

interface Summary {
  readonly Id: string;
  readonly State: string;
}

/** The body of the answer. Codes for "is already in this state" are no failures. */
async function ask(method: string, path: string, body?: unknown): Promise<string> {
  const response = await daemon.request(method, path, body);
  const text = await response.text();
  // Errors of a pull or load come in the stream.
  if ((!response.ok && response.status !== 304) || text.includes('"errorDetail"'))
    throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text;
}

async function json<T>(path: string): Promise<T> {
  return JSON.parse(await ask("GET", path)) as T;
}

async function has(path: string): Promise<boolean> {
  return (await daemon.request("GET", path)).ok;
}

const command = ["sh", "-c", "echo began; exec sleep 1000"];
/** A cgroup parent that a container asks for. */
const otherParent = `/fathom-anytime-other-${runName}`;
const publishing = {
  ExposedPorts: { "80/tcp": {} },
  HostConfig: { PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] } },
};

/** Makes the container unless it exists. */
async function create(name: string, more: object = {}): Promise<void> {
  if (!(await has(`/containers/${name}/json`)))
    await ask("POST", `/containers/create?name=${name}`, { Image: daemon.image, Cmd: command, ...more });
}

async function start(name: string, more: object = {}): Promise<void> {
  await create(name, more);
  await ask("POST", `/containers/${name}/start`);
}

const remove = (name: string): Promise<string> => ask("DELETE", `/containers/${name}?force=1&v=1`);

/** Returns its output. If a container with this name existed before, that one has run. */
async function output(name: string): Promise<string> {
  const frames = Buffer.from(await (await daemon.request("GET", `/containers/${name}/logs?stdout=1`)).arrayBuffer());
  let text = "";
  for (let at = 0; at < frames.length; at += 8 + frames.readUInt32BE(at + 4))
    text += frames.toString("utf8", at + 8, at + 8 + frames.readUInt32BE(at + 4));
  return text;
}

/** Runs a shell line in a new container until it ends. */
async function run(image: string, line: string): Promise<string> {
  await start("short", { Image: image, Cmd: ["sh", "-c", line] });
  await ask("POST", "/containers/short/wait");
  const text = await output("short");
  await remove("short");
  return text;
}

async function exec(name: string, line: string): Promise<number> {
  const { Id } = JSON.parse(await ask("POST", `/containers/${name}/exec`, { Cmd: ["sh", "-c", line] })) as Summary;
  await ask("POST", `/exec/${Id}/start`, { Detach: true });
  for (;;) {
    const { Running, ExitCode } = await json<{ Running: boolean; ExitCode: number }>(`/exec/${Id}/json`);
    if (!Running) return ExitCode;
    await Bun.sleep(5);
  }
}

async function removeImage(name: string): Promise<void> {
  if (await has(`/images/${name}/json`)) await ask("DELETE", `/images/${name}`);
}

const going = ["goes-1", "goes-2", "goes-3"];

/** Work that can be interrupted. Each entry prepares, starts (then the daemon is killed), and is done again afterwards. */
interface Operation {
  readonly name: string;
  prepare(): Promise<void>;
  begin(): Promise<unknown>;
  again(): Promise<void>;
}

const operations: readonly Operation[] = [
  {
    name: "create",
    async prepare() {},
    begin: () => create("created", { Volumes: { "/etc": {}, "/data": {} } }),
    async again() {
      await start("created", { Volumes: { "/etc": {}, "/data": {} } });
      expect(await exec("created", "grep -q wheel /etc/group")).toBe(0);
      await remove("created");
    },
  },
  {
    name: "start",
    prepare: () =>
      create("started", { ...publishing, HostConfig: { ...publishing.HostConfig, CgroupParent: otherParent } }),
    begin: () => start("started"),
    async again() {
      await start("started");
      expect(await exec("started", "exit 9")).toBe(9);
      // One start was interrupted after it may have begun, and one was done completely.
      expect(await output("started")).toMatch(/^(began\n){1,2}$/);
      await remove("started");
    },
  },
  {
    name: "run",
    async prepare() {},
    async begin() {
      const host = { ...publishing.HostConfig, AutoRemove: true };
      const body = { ...publishing, Image: daemon.image, Cmd: ["true"], HostConfig: host };
      for (let index = 0; index < 6; index++) {
        const { Id } = JSON.parse(await ask("POST", "/containers/create", body)) as Summary;
        await ask("POST", `/containers/${Id}/start`);
      }
    },
    async again() {
      expect(await run(daemon.image, "echo yes")).toBe("yes\n");
    },
  },
  {
    name: "network",
    async prepare() {
      for (const name of ["moving-1", "moving-2"])
        if (!(await has(`/networks/${name}`)))
          await ask("POST", "/networks/create", { Name: name, EnableIPv6: name === "moving-2" });
      await start("joins", publishing);
    },
    async begin() {
      for (let index = 0; index < 6; index++)
        for (const [name, GwPriority] of [
          ["moving-1", 1],
          ["moving-2", -1],
        ] as const) {
          await ask("POST", `/networks/${name}/connect`, { Container: "joins", EndpointConfig: { GwPriority } });
          if (index < 5) await ask("POST", `/networks/${name}/disconnect`, { Container: "joins" });
        }
    },
    async again() {
      const { NetworkSettings } = await json<Inspection>("/containers/joins/json");
      const addresses = Object.values(NetworkSettings.Networks).map(({ IPAddress }) => IPAddress);
      // What the row says is inside, and nothing else; the container leads outside, and has its port.
      const inside = addresses.map((address) => `ip -o addr | grep -qF ' ${address}/'`);
      inside.push(`test $(ls /sys/class/net | grep -c eth) = ${addresses.length}`);
      inside.push("test $(ip route | grep -c ^default) = 1");
      expect([await exec("joins", inside.join(" && ")), inside]).toEqual([0, inside]);
      expect(NetworkSettings.Ports["80/tcp"]).toHaveLength(1);
      await remove("joins");
      for (const name of ["moving-1", "moving-2"]) await ask("DELETE", `/networks/${name}`);
    },
  },
  {
    name: "exec",
    prepare: () => start("execs"),
    async begin() {
      for (let index = 0; index < 10; index++) await exec("execs", "true");
    },
    async again() {
      expect((await json<{ State: { Running: boolean } }>("/containers/execs/json")).State.Running).toBe(true);
      expect(await exec("execs", "exit 8")).toBe(8);
      expect(await output("execs")).toBe("began\n");
      await remove("execs");
    },
  },
  {
    name: "rm",
    async prepare() {
      for (const name of going) await start(name, { ...publishing, Volumes: { "/data": {} } });
    },
    begin: () => Promise.all(going.map(remove)),
    async again() {
      for (const name of going) if (await has(`/containers/${name}/json`)) await remove(name);
      await start(going[0]!);
      await remove(going[0]!);
    },
  },
  {
    name: "pull",
    prepare: () => removeImage(pulled),
    begin: () => ask("POST", `/images/create?fromImage=${encodeURIComponent(pulled)}`),
    async again() {
      await ask("POST", `/images/create?fromImage=${encodeURIComponent(pulled)}`);
      expect(await run(pulled, "cat /a/200 /b/200 /c/200 | wc -l; wc -c < /c/large")).toBe("3\n4000000\n");
    },
  },
  {
    name: "commit",
    async prepare() {
      await removeImage(committed);
      if (await has("/containers/source/json")) return;
      const fill = "head -c 4000000 /dev/urandom > /large; seq 1000 > /file; exec sleep 1000";
      await start("source", { Cmd: ["sh", "-c", fill] });
      expect(await exec("source", "until [ -s /file ]; do sleep 0.01; done")).toBe(0);
    },
    begin: () => ask("POST", "/commit?container=source&repo=localhost/committed&tag=1"),
    async again() {
      if (!(await has(`/images/${committed}/json`)))
        await ask("POST", "/commit?container=source&repo=localhost/committed&tag=1");
      expect(await run(committed, "tail -n 1 /file")).toBe("1000\n");
    },
  },
  {
    name: "load",
    prepare: () => removeImage(loaded),
    begin: () => ask("POST", "/images/load", Bun.file(join(daemon.work, "loaded.tar"))),
    async again() {
      if (!(await has(`/images/${loaded}/json`)))
        await ask("POST", "/images/load", Bun.file(join(daemon.work, "loaded.tar")));
      expect(await run(loaded, "cat /b/7")).toBe(`${loaded} 7\n`);
    },
  },
];

const processes = (): { readonly pid: number; readonly cgroups: string }[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [{ pid: Number(pid), cgroups: readFileSync(`/proc/${pid}/cgroup`, "utf8") }];
      } catch {
        return [];
      }
    });

/** Names of the cgroups below the daemon's parent and the other parent, in all hierarchies. */
function cgroups(): Set<string> {
  const names = new Set<string>();
  const roots = ["/sys/fs/cgroup", ...readdirSync("/sys/fs/cgroup").map((name) => `/sys/fs/cgroup/${name}`)];
  for (const root of roots)
    for (const parent of [daemon.cgroupParent, otherParent])
      for (const name of list(join(root, parent))) if (/^[0-9a-f]{64}$/.test(name)) names.add(name);
  return names;
}

const list = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);

/** Compares what the daemon says with the kernel and the disk. Returns the differences. */
async function wrongs(): Promise<string[]> {
  const wrong: string[] = [];
  const say = (text: string): void => void wrong.push(text);
  const containers = await json<Summary[]>("/containers/json?all=1");
  const ids = new Set(containers.map(({ Id }) => Id));
  const alive = new Set<string>();
  const found = processes();
  const networks = new Set<string>();
  const ports: number[] = [];
  for (const { Id, State } of containers) {
    const inside = found.filter(({ cgroups }) => cgroups.includes(Id)).length;
    const answer = await daemon.request("GET", `/containers/${Id}/json`);
    const { State: about, NetworkSettings: network } = (await answer.json()) as Inspection;
    // A container with --rm is about to be removed.
    if (answer.status === 404) continue;
    if (about.Status !== State) continue;
    // A commit freezes the container that it reads; nothing else here pauses.
    if (about.Status === "paused") say(`${Id} is paused, and nobody asked for that`);
    if (about.Running) {
      alive.add(Id);
      for (const { IPAddress } of Object.values(network.Networks)) networks.add(IPAddress);
      for (const bound of Object.values(network.Ports))
        for (const { HostPort } of bound ?? []) ports.push(Number(HostPort));
      if (!found.some(({ pid, cgroups }) => pid === about.Pid && cgroups.includes(Id)))
        say(`${Id} runs, and its process is not there`);
    } else if (inside > 0) say(`${Id} is ${about.Status}, and ${inside} processes are there`);
  }
  // A pool has three stems. A container that was created after the restart may have one of them; the tests here leave no such container.
  const waiting = [...cgroups()].filter((name) => !alive.has(name));
  for (const name of waiting) if (ids.has(name)) say(`${name} does not run and has a cgroup`);
  if (waiting.length > 3) say(`cgroups of nobody: ${waiting.join(" ")}`);
  for (const name of alive) if (!cgroups().has(name)) say(`${name} runs without a cgroup`);

  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n"))
    if (line.includes(daemon.work)) say(`mount ${line}`);
  const links = daemon.run("ip", "-o", "link", "show", "type", "veth").out.split("\n").filter(Boolean).length;
  if (links > networks.size + 3) say(`${links} links for ${networks.size} endpoints`);
  const rules = daemon.run("nft", "list", "table", "ip", "fathom").out;
  for (const [, address, port] of rules.matchAll(
    /: (172\.\d+\.\d+\.\d+|10\.\d+\.\d+\.\d+|192\.168\.\d+\.\d+) \. (\d+)/g,
  ))
    if (!networks.has(address!)) say(`a rule for ${address}:${port}, which no container has`);
  for (const port of ports) if (!rules.includes(String(port))) say(`no rule for the published port ${port}`);

  for (const name of list(join(daemon.dataRoot, "containers"))) {
    if (!ids.has(name)) say(`directory of no container: containers/${name}`);
    const run = existsSync(join(daemon.dataRoot, "containers", name, "run"));
    if (run !== alive.has(name)) say(`containers/${name}/run ${run ? "is" : "is not"} there`);
  }
  const volumes = await json<{ Volumes: { Name: string }[] | null }>("/volumes");
  const used = new Set<string>();
  for (const { Mounts } of await json<{ Mounts: { Name?: string }[] }[]>("/containers/json?all=1"))
    for (const { Name } of Mounts) if (Name !== undefined) used.add(Name);
  for (const { Name } of volumes.Volumes ?? []) if (!used.has(Name)) say(`volume of no container: ${Name}`);
  for (const name of list(join(daemon.dataRoot, "volumes")))
    if (name !== ".removing" && !used.has(name)) say(`directory of no volume: volumes/${name}`);
  for (const name of list(join(daemon.dataRoot, "volumes/.removing"))) say(`volumes/.removing/${name}`);

  for (const name of list(join(daemon.dataRoot, "tmp"))) say(`tmp/${name}`);
  for (const name of list(join(daemon.dataRoot, "content/tmp"))) say(`content/tmp/${name}`);
  // Only the daemon may open its database. A copy of the file and of its write-ahead log is what a crash would leave.
  for (const suffix of ["", "-wal"])
    copyFileSync(join(daemon.dataRoot, `fathom.db${suffix}`), join(daemon.work, `copy${suffix}`));
  const database = new Database(join(daemon.work, "copy"));
  try {
    const column = (sql: string): string[] =>
      database
        .query<{ name: string }, []>(sql)
        .all()
        .map(({ name }) => name);
    for (const lease of column("SELECT label AS name FROM leases")) say(`lease ${lease}`);
    const layers = new Set(
      column("SELECT cache_id AS name FROM layers UNION ALL SELECT id AS name FROM container_layers"),
    );
    for (const name of list(join(daemon.dataRoot, "overlay2")))
      if (name !== "l" && name !== "trash" && !layers.delete(name)) say(`directory of no layer: overlay2/${name}`);
    for (const name of layers) say(`layer without a directory: ${name}`);
    for (const name of column("SELECT id AS name FROM container_layers"))
      if (!ids.has(name)) say(`layer of no container: ${name}`);
    const blobs = new Set(column("SELECT digest AS name FROM blobs"));
    for (const name of list(join(daemon.dataRoot, "content/sha256")))
      if (!blobs.delete(`sha256:${name}`)) say(`blob without a row: ${name}`);
    for (const name of blobs) say(`blob without a file: ${name}`);
    for (const row of database.query<{ integrity_check: string }, []>("PRAGMA integrity_check").all())
      if (row.integrity_check !== "ok") say(`database: ${row.integrity_check}`);
  } finally {
    database.close();
  }
  return wrong;
}

/** Work that ends in the background (trash, dying processes) gets some time; everything else must be right at once. */
async function check(when: string): Promise<void> {
  let wrong = await wrongs();
  for (let tries = 0; wrong.length > 0 && tries < 60; tries++) {
    await Bun.sleep(50);
    wrong = await wrongs();
  }
  if (wrong.length > 0) throw new Error(`seed ${seed}, ${when}:\n  ${wrong.join("\n  ")}`);
}

test(`kill -9 of the daemon at any moment (FATHOM_SEED=${seed})`, async () => {
  console.log(`seed ${seed}`);
  const end = performance.now() + seconds * 1000;
  const often = new Map<string, number>();
  let rounds = 0;
  // How long each action takes without a kill: a kill after that time would interrupt nothing.
  const usualMs = new Map<string, number>();
  for (const operation of operations) {
    await operation.prepare();
    const start = performance.now();
    await operation.begin();
    usualMs.set(operation.name, performance.now() - start);
    await operation.again();
  }
  await check("undisturbed");
  while (performance.now() < end) {
    // One action alone, or several at once.
    const shuffled = operations.map((operation) => ({ operation, at: random() })).sort((a, b) => a.at - b.at);
    const chosen = shuffled.slice(0, random() < 0.5 ? 1 : 1 + Math.floor(random() * operations.length));
    const names = chosen.map(({ operation }) => operation.name);
    for (const { operation } of chosen) await operation.prepare();
    const delay = random() * Math.max(...names.map((name) => usualMs.get(name)!)) * (names.length > 1 ? 1.5 : 1.1);
    let unfinished = chosen.length;
    const ends = chosen.map(({ operation }) =>
      operation.begin().then(
        () => unfinished--,
        () => undefined,
      ),
    );
    // sleep: the test is about a random moment
    await Bun.sleep(delay);
    const met = unfinished;
    await daemon.kill();
    await Promise.allSettled(ends);
    await daemon.start();
    const when = `round ${rounds}, ${names.join(" ")} after ${delay.toFixed(1)} ms, ${met} of them under way`;
    await check(`${when}, after the restart`);
    try {
      for (const { operation } of chosen) await operation.again();
    } catch (error) {
      throw new Error(`seed ${seed}, ${when}, done again`, { cause: error });
    }
    rounds++;
    if (met > 0) for (const name of names) often.set(name, (often.get(name) ?? 0) + 1);
  }
  await check("at the end");
  console.log(`${rounds} kills; in the middle of: ${[...often].map(([name, count]) => `${name} ${count}`).join(", ")}`);
  expect(rounds).toBeGreaterThan(0);

  // Everything can be removed, and then nothing is left.
  await remove("source");
  daemon.docker(
    "rmi",
    ...daemon
      .docker("images", "-q", "--no-trunc")
      .split("\n")
      .filter((id, index, all) => all.indexOf(id) === index),
    "--force",
  );
  daemon.docker("image", "prune", "-f");
  await until("the store is empty", () => list(join(daemon.dataRoot, "overlay2/trash")).length === 0);
  await check("without images");
  for (const name of ["containers", "overlay2/l", "content/sha256"])
    expect([name, list(join(daemon.dataRoot, name))]).toEqual([name, []]);
}, 300_000);
