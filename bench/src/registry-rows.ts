/** Our registry beside Debian's: 32 clients at once that push, pull, and push many small blobs; and the memory after that. */
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { pssKiB, timeMs } from "./measure.ts";
import type { Contender, Row } from "./row.ts";

const clients = 32;
const blobBytes = 8 << 20;
const smallBlobs = 40;
const smallBytes = 1024;
const peer = "docker-registry";

export interface Registries extends AsyncDisposable {
  readonly rows: readonly Row[];
}

interface Running {
  readonly name: string;
  readonly url: string;
  readonly process: Bun.Subprocess;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

async function start(name: string, command: (port: number) => readonly string[]): Promise<Running> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const process = Bun.spawn([...command(port)], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  for (const deadline = performance.now() + 20_000; ; await Bun.sleep(50)) {
    const answer = await fetch(`${url}/v2/`).catch(() => undefined);
    if (answer?.ok === true) return { name, url, process };
    if (performance.now() > deadline) throw new Error(`${name} does not answer`);
  }
}

const hashed = (data: Uint8Array): string => `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;

/** As docker does it: the upload begins, then its bytes come, then its digest. */
async function push(url: string, data: Uint8Array<ArrayBuffer>, digest: string): Promise<void> {
  const begun = await fetch(`${url}/v2/bench/blobs/uploads/`, { method: "POST" });
  const location = new URL(begun.headers.get("location") ?? "", url);
  await begun.arrayBuffer();
  location.searchParams.set("digest", digest);
  const { status } = await fetch(location, {
    method: "PUT",
    body: data,
    headers: { "Content-Type": "application/octet-stream" },
  });
  if (status !== 201) throw new Error(`the push of a blob was answered with ${status}`);
}

async function pull(url: string, digest: string): Promise<void> {
  const response = await fetch(`${url}/v2/bench/blobs/${digest}`);
  let size = 0;
  for await (const piece of response.body ?? []) size += piece.byteLength;
  if (size !== blobBytes) throw new Error(`a blob of ${size} bytes came`);
}

/** Each client does its work `times` times, one after another. */
async function allClients(times: number, work: () => Promise<void>): Promise<void> {
  const one = async (): Promise<void> => {
    for (let time = 0; time < times; time++) await work();
  };
  await Promise.all(Array.from({ length: clients }, one));
}

export async function startRegistries(directory: string, fathom: string): Promise<Registries> {
  mkdirSync(directory, { recursive: true });
  const root = join(directory, "fathom");
  const ours = (port: number): string[] => [fathom, "registry", "serve", "--addr", `127.0.0.1:${port}`, "--root", root];
  const theirs = (port: number): string[] => {
    const file = join(directory, "registry.yml");
    const storage = `{filesystem: {rootdirectory: ${join(directory, peer)}}}`;
    writeFileSync(file, `version: 0.1\nlog: {level: error}\nstorage: ${storage}\nhttp: {addr: "127.0.0.1:${port}"}\n`);
    return [peer, "serve", file];
  };
  const running = [await start("fathom", ours), await start(peer, theirs)];
  let number = 0;
  const fresh = (bytes: number): Uint8Array<ArrayBuffer> => {
    const data = new Uint8Array(bytes);
    new DataView(data.buffer).setUint32(0, (number += 1));
    return data;
  };
  const contenders = (work: (one: Running) => () => Promise<number>): Contender[] =>
    running.map((one) => ({ name: one.name, sample: work(one) }));
  const pushes =
    ({ url }: Running, count: number, bytes: number) =>
    async (): Promise<number> => {
      const blobs = Array.from({ length: clients * count }, () => fresh(bytes)).map((data) => ({
        data,
        digest: hashed(data),
      }));
      return timeMs(() =>
        allClients(count, async () => {
          const { data, digest } = blobs.pop()!;
          await push(url, data, digest);
        }),
      );
    };
  const shared = fresh(blobBytes);
  const megabytes = (clients * blobBytes) >> 20;
  const ratio = { ratio: 1, to: peer };
  const rows: Row[] = [
    {
      id: "registry-push",
      title: `registry: ${clients} clients push ${megabytes} MiB in blobs of ${blobBytes >> 20} MiB`,
      unit: "ms",
      rounds: 5,
      targets: [ratio],
      contenders: contenders((one) => pushes(one, 1, blobBytes)),
    },
    {
      id: "registry-pull",
      title: `registry: ${clients} clients pull ${megabytes} MiB in blobs of ${blobBytes >> 20} MiB`,
      unit: "ms",
      rounds: 5,
      targets: [ratio],
      before: async () => {
        for (const { url } of running) await push(url, shared, hashed(shared));
      },
      contenders: contenders(
        ({ url }) =>
          () =>
            timeMs(() => allClients(1, () => pull(url, hashed(shared)))),
      ),
    },
    {
      id: "registry-small",
      title: `registry: ${clients} clients push ${clients * smallBlobs} blobs of ${smallBytes / 1024} KiB`,
      unit: "ms",
      rounds: 5,
      targets: [ratio],
      contenders: contenders((one) => pushes(one, smallBlobs, smallBytes)),
    },
    {
      id: "registry-memory",
      title: "registry: memory (PSS) after this work",
      unit: "MB",
      rounds: 1,
      targets: [{ ratio: 1.2, to: peer }],
      contenders: contenders(
        ({ process }) =>
          async () =>
            pssKiB(process.pid) / 1000,
      ),
    },
  ];
  return {
    rows,
    async [Symbol.asyncDispose]() {
      for (const { process } of running) {
        process.kill("SIGTERM");
        await process.exited;
      }
    },
  };
}
