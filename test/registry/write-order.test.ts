/**
 * A loss of power after any system call: strace records what the registry does to its disk during pushes, and a model of a disk replays it. The
 * model keeps only what was synced, and checks after each call that everything that is visible leads to what is safe.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "@fathom/base/testing";
import { mediaTypes, sha256Digest } from "@fathom/spec";
import { binary } from "../daemon/harness.ts";

const work = mkdtempSync(join(tmpdir(), "registry-order-"));
const root = join(work, "root");
const trace = join(work, "trace");
let registry: Bun.Subprocess;
let url: string;

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

beforeAll(async () => {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const calls =
    "open,openat,close,write,pwrite64,writev,pwritev,fsync,fdatasync,sendto,sendmsg,rename,renameat,renameat2,mkdir,mkdirat";
  const serve = [binary, "registry", "serve", "--addr", `127.0.0.1:${port}`, "--root", root];
  registry = Bun.spawn(["strace", "-f", "-y", "-s", "300", "-e", `trace=${calls}`, "-o", trace, ...serve], {
    stderr: "ignore",
  });
  await until("the registry answers", async () => (await fetch(`${url}/healthz`).catch(() => undefined))?.ok === true, {
    limitMs: 30_000,
    everyMs: 50,
  });
}, 60_000);

afterAll(async () => {
  // strace ends with its program; killed itself, it would leave the program running. The first call of the record is the program's.
  process.kill(Number(/^\d+/.exec(readFileSync(trace, "utf8"))?.[0]), "SIGTERM");
  await registry.exited;
  rmSync(work, { recursive: true, force: true });
});

interface SystemCall {
  readonly name: string;
  readonly text: string;
}

/** In the order of their ends, because an effect is certain only then. A call that strace shows in two parts is put together. */
function recorded(): SystemCall[] {
  const begun = new Map<string, string>();
  const calls: SystemCall[] = [];
  for (const line of readFileSync(trace, "utf8").split("\n")) {
    const [, thread = "", rest = ""] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    if (rest.endsWith("<unfinished ...>")) begun.set(thread, rest.replace(/\s*<unfinished \.\.\.>$/, ""));
    else {
      const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)?.[1];
      const text = resumed === undefined ? rest : `${begun.get(thread) ?? ""}${resumed}`;
      const name = /^(\w+)\(/.exec(text)?.[1];
      if (name !== undefined && !/ = -1 /.test(text)) calls.push({ name, text });
    }
  }
  return calls;
}

const quoted = (text: string): string[] => [...text.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, path]) => path!);
const descriptorPath = (text: string): string | undefined => /^\w+\(\d+<([^>]*)>/.exec(text)?.[1];
const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));

/** What happens to one disk, and what would be left after a loss of power. */
class Disk {
  /** Files with bytes that are not synced. */
  readonly dirty = new Set<string>();
  /** Names in directories that are not synced. */
  readonly unsafe = new Set<string>();
  readonly visible = new Set<string>();
  readonly problems: string[] = [];
  answers = 0;

  apply({ name, text }: SystemCall): void {
    const at = descriptorPath(text);
    if (/^p?write/.test(name) && at?.startsWith(root) === true) this.dirty.add(at);
    else if (name.endsWith("sync") && at !== undefined) {
      this.dirty.delete(at);
      for (const path of this.unsafe) if (parentOf(path) === at) this.unsafe.delete(path);
    } else if (name.startsWith("mkdir")) {
      const path = quoted(text)[0]!;
      // The directories of uploads and temporary files need not survive by themselves.
      if (path.startsWith(`${root}/blobs/`) || path.startsWith(`${root}/repositories/`)) this.unsafe.add(path);
    } else if (name.startsWith("rename")) {
      const [from, to] = quoted(text) as [string, string];
      if (this.dirty.has(from)) this.problems.push(`${to} gets its name before its bytes are synced`);
      this.visible.add(to);
      this.unsafe.add(to);
      for (const needed of this.neededBy(to))
        if (!this.visible.has(needed) || this.unsafe.has(needed))
          this.problems.push(`${to} is visible before ${needed} is safe`);
    } else if (/^(?:write|send)/.test(name) && quoted(text)[0]?.startsWith("HTTP/1.1 201") === true) {
      this.answers++;
      if (this.unsafe.size > 0)
        this.problems.push(`the client gets its answer before ${[...this.unsafe].join(", ")} is safe`);
    }
  }

  /** The files that a file leads to, and the directories above it. */
  neededBy(path: string): string[] {
    const above = [...this.unsafe].filter((one) => path.startsWith(`${one}/`));
    const link = /\/_links\/sha256\/(\w+)$/.exec(path)?.[1] ?? /\/_manifests\/sha256\/(\w+)$/.exec(path)?.[1];
    if (link !== undefined) return [...above, `${root}/blobs/sha256/${link.slice(0, 2)}/${link}`];
    const repository = /^(.*)\/_tags\/[^/]+$/.exec(path)?.[1];
    if (repository === undefined) return above;
    const rows = [...this.visible].filter((one) => one.startsWith(`${repository}/_manifests/`));
    return [...above, ...(rows.length === 0 ? ["a manifest"] : rows)];
  }
}

test("after each system call of a push, what is visible leads to what is safe; answers come after the sync", async () => {
  const push = async (text: string): Promise<string> => {
    const digest = sha256Digest(text);
    const response = await fetch(`${url}/v2/a/b/blobs/uploads/?digest=${digest}`, { method: "POST", body: text });
    expect(response.status).toBe(201);
    return digest;
  };
  const subject = { mediaType: mediaTypes.ociManifest, digest: sha256Digest("subject"), size: 7 };
  const config = { mediaType: mediaTypes.ociConfig, digest: await push("{}"), size: 2 };
  const layers = [];
  for (const text of ["one", "two", "three"])
    layers.push({ mediaType: mediaTypes.ociLayer, digest: await push(text), size: text.length });
  const response = await fetch(`${url}/v2/a/b/manifests/v1`, {
    method: "PUT",
    headers: { "Content-Type": mediaTypes.ociManifest },
    body: JSON.stringify({ schemaVersion: 2, config, layers, subject }),
  });
  expect(response.status).toBe(201);
  let disk = new Disk();
  // strace may be behind the registry.
  await until("the record has all answers", () => {
    disk = new Disk();
    for (const call of recorded()) disk.apply(call);
    return disk.answers === 5;
  });
  expect(disk.problems).toEqual([]);
  // The model has seen all of it: four blobs, their links, the manifest's bytes, row, referrer and tag.
  expect([...disk.visible].filter((path) => path.includes("/_links/"))).toHaveLength(4);
  expect([...disk.visible].filter((path) => path.startsWith(`${root}/blobs/`))).toHaveLength(5);
  expect([...disk.visible].filter((path) => /\/_(?:manifests|referrers|tags)\//.test(path))).toHaveLength(3);
  expect([...disk.unsafe]).toEqual([]);
});
