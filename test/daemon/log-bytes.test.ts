/** What a container writes is in its log byte by byte. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon } from "./harness.ts";

const daemon = new TestDaemon("log-bytes");

beforeAll(async () => {
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

/** Writes a file from inside a container; returns what `docker logs` then shows. */
function logged(name: string, content: Buffer): Buffer {
  const file = join(daemon.work, name);
  writeFileSync(file, content);
  daemon.docker("run", "--name", name, "--network", "none", "-v", `${file}:/file:ro`, daemon.image, "cat", "/file");
  expect(daemon.run("sh", "-c", `docker logs ${name} > ${file}.logs`).code).toBe(0);
  return readFileSync(`${file}.logs`);
}

test("characters at the edges of records", () => {
  const text = Buffer.from(`a${"é日😀".repeat(8000)}\nshort\n${"ü".repeat(8192)}\n`);
  expect(logged("characters", text).equals(text)).toBe(true);
}, 60_000);

test("arbitrary bytes of a program", () => {
  const program = readFileSync("/bin/busybox").subarray(0, 1 << 20);
  expect(logged("program", program).equals(program)).toBe(true);
  // Readers that know only the format find what they expect: text, stream, time.
  const path = daemon.docker("inspect", "-f", "{{.LogPath}}", "program");
  for (const line of readFileSync(path, "utf8").trimEnd().split("\n")) {
    const record = JSON.parse(line) as Record<string, unknown>;
    expect(Object.keys(record).filter((key) => key !== "bytes")).toEqual(["log", "stream", "time"]);
  }
  // A time before each line, and the line unchanged.
  const stamped = daemon.run(
    "sh",
    "-c",
    `docker logs -t program | sed -n 1p | cut -d' ' -f2- | head -c 20 | od -An -tx1`,
  );
  const first = program.subarray(0, Math.min(20, program.indexOf(10) + 1));
  expect(stamped.out.trim().split(/\s+/)).toEqual([...first].map((byte) => byte.toString(16).padStart(2, "0")));
}, 60_000);
