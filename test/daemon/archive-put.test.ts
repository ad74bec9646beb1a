/** Archives that are unpacked into containers: hostile ones, containers that change their files meanwhile, and who waits for whom. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("put");
  await daemon.start();
  daemon.loadImage();
});
afterEach(() => daemon.removeContainers("-v"));
afterAll(() => daemon.close());

/** A tar archive; the members are made by a script in an empty directory. */
function archive(script: string, members: string): string {
  const folder = join(daemon.work, "archive");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const file = join(daemon.work, "archive.tar");
  const made = daemon.run("sh", "-c", `cd ${folder} && ${script} && tar -cPf ${file} ${members}`);
  if (made.code !== 0) throw new Error(made.err);
  return file;
}

interface Answer {
  readonly status: number;
  readonly message: string;
}

function put(container: string, path: string, file: string, query = ""): Answer {
  const url = `http://d/containers/${container}/archive?path=${path}${query}`;
  const { out } = daemon.run("curl", "-s", "--unix-socket", daemon.socket, "-T", file, "-w", "\n%{http_code}", url);
  const lines = out.split("\n");
  const body = lines.slice(0, -1).join("\n");
  return { status: Number(lines.at(-1)), message: body === "" ? "" : JSON.parse(body).message };
}

test("a symlink of the archive leads nowhere: neither to the host nor out of the destination", () => {
  const secret = join(daemon.work, "host");
  mkdirSync(secret, { recursive: true });
  const attacks = [
    archive(`ln -s ${secret} l && mkdir d && echo x >d/f`, `l --transform s,^d,l, d/f`),
    archive("ln -s ../../../../../../.. l && mkdir d && echo x >d/f", "l --transform s,^d,l, d/f"),
  ];
  for (const name of ["stopped", "running"]) {
    daemon.docker("run", "-d", "--name", name, daemon.image, "sleep", "1000");
    if (name === "stopped") daemon.docker("kill", name);
    for (const file of attacks) {
      const { status, message } = put(name, "/tmp", file);
      expect([status, message.includes("leads out of")]).toEqual([500, true]);
    }
  }
  expect(readdirSync(secret)).toEqual([]);
});

test("a container that swaps a directory for a symlink to the host's root all the time gets nothing written outside", () => {
  const folder = join(daemon.work, "bind");
  const outside = join(daemon.work, "outside");
  for (const path of [folder, outside]) mkdirSync(path, { recursive: true });
  const swap =
    "cd /b; while :; do mkdir d; rmdir d; ln -s /../../../../../../../../../../tmp d; rm d; done 2>/dev/null";
  daemon.docker("run", "-d", "--name", "swapper", "-v", `${folder}:/b`, daemon.image, "sh", "-c", swap);
  const marker = "fathom-swapped-file";
  const file = archive(`mkdir d && echo x >d/${marker}`, `d/${marker}`);
  const statuses = new Set<number>();
  for (let attempt = 0; attempt < 60; attempt++) statuses.add(put("swapper", "/b", file).status);
  // Some attempts meet the directory, some the symlink; none is written through the symlink.
  expect([...statuses].every((status) => [200, 400, 404, 500].includes(status))).toBe(true);
  expect(existsSync(`/tmp/${marker}`)).toBe(false);
  expect(daemon.docker("exec", "swapper", "ls", "/tmp").trim()).toBe("");
});

test("a read-only root, a read-only volume, and what is writable in them", () => {
  const file = archive("echo x >f", "f");
  const mounts = ["--read-only", "-v", "data:/data", "-v", "data:/ro:ro", "--tmpfs", "/tmp"];
  daemon.docker("create", "--name", "stopped", ...mounts, daemon.image, "true");
  daemon.docker("run", "-d", "--name", "running", ...mounts, daemon.image, "sleep", "1000");
  for (const name of ["stopped", "running"]) {
    expect(put(name, "/", file)).toEqual({ status: 400, message: "container rootfs is marked read-only" });
    expect(put(name, "/ro", file)).toEqual({ status: 400, message: "mounted volume is marked read-only" });
    expect(put(name, "/data", file).status).toBe(200);
  }
  expect(put("running", "/tmp", file).status).toBe(200);
  expect(daemon.docker("exec", "running", "cat", "/tmp/f", "/data/f", "/ro/f")).toBe("x\nx\nx");
});

test("into a stopped container, seen after its start; whiteouts and marks of overlayfs are ordinary files", () => {
  daemon.docker("create", "--name", "box", daemon.image, "sh", "-c", "cat /etc/f; ls -A /etc/d; ls /bin/sh");
  const file = archive("mkdir d && echo hello >f && echo x >d/.wh.thing && touch .wh.bin", "f d .wh.bin");
  expect(put("box", "/etc", file).status).toBe(200);
  expect(daemon.docker("start", "-a", "box")).toBe("hello\n.wh.thing\n/bin/sh");
});

test("an archive that is cut off or is none is an error, and what came before stays", () => {
  daemon.docker("create", "--name", "box", daemon.image, "true");
  const whole = readFileSync(archive("echo first >a && head -c 100000 /dev/zero >b", "a b"));
  const cut = join(daemon.work, "cut.tar");
  writeFileSync(cut, whole.subarray(0, 50_000));
  expect(put("box", "/", cut).status).toBe(400);
  expect(daemon.run("sh", "-c", "docker cp box:/a - | tar -xO").out).toBe("first\n");
  writeFileSync(cut, "this is no archive, but it is longer than one header of 512 bytes ".repeat(20));
  expect(put("box", "/", cut).status).toBe(400);
});

/** Has sent a part of an archive, and sends no more. */
async function slowClient(): Promise<{ readonly answer: () => string; readonly close: () => void }> {
  const client = connect(daemon.socket);
  let answer = "";
  client.on("data", (data: Buffer) => (answer += data.toString("latin1")));
  const head = "PUT /containers/box/archive?path=/ HTTP/1.1\r\nHost: d\r\nContent-Length: 1000000\r\n\r\n";
  client.write(head + "\0".repeat(100));
  await until("the writer runs", () => writers() === 1);
  return { answer: () => answer, close: () => client.destroy() };
}

test("while a client sends an archive, a stopped container waits with its start, and a forced removal ends the archive", async () => {
  daemon.docker("create", "--name", "box", daemon.image, "sleep", "1000");
  const client = await slowClient();
  const starting = daemon.api("POST", "/containers/box/start");
  expect(daemon.docker("inspect", "-f", "{{.State.Status}}", "box").trim()).toBe("created");
  daemon.docker("rm", "-f", "box");
  await until("the client has its answer", () => client.answer() !== "");
  expect(client.answer()).toContain("the container is being removed");
  client.close();
  await starting;
  await until("the writer has ended", () => writers() === 0);
});

test("a forced removal ends the archive of a container that runs, and its files are not kept for it", async () => {
  daemon.docker("run", "-d", "--name", "box", daemon.image, "sleep", "1000");
  const client = await slowClient();
  daemon.docker("rm", "-f", "box");
  await until("the client has its answer", () => client.answer() !== "");
  expect(client.answer()).toContain("the container is being removed");
  await until("the writer has ended", () => writers() === 0);
  client.close();
});

test("a restart ends the archive for the previous run: that run's mount would write below the new one", async () => {
  daemon.docker("run", "-d", "--name", "box", daemon.image, "sleep", "1000");
  const client = await slowClient();
  daemon.docker("restart", "-t", "0", "box");
  await until("the client has its answer", () => client.answer() !== "");
  expect(client.answer()).toStartWith("HTTP/1.1 409 ");
  expect(client.answer()).toContain("the container was started again before the archive was written");
  await until("the writer has ended", () => writers() === 0);
  client.close();
});

/** Processes that write archives for this daemon. */
function writers(): number {
  const found = daemon.run("pgrep", "-P", String(daemon.pid), "-f", "call write-tree");
  return found.out.split("\n").filter(Boolean).length;
}
