import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSys } from "@fathom/sys";
import { createRecordingSys } from "@fathom/sys/testing";
import { identify } from "../supervisor/process-facts.ts";
import { DirectProcess, removePidFile, writePidFile, type DirectSys } from "./direct-run.ts";
import { makeGate } from "./gate.ts";

const sys = createSys();

function runWith(own: DirectSys, directory = "/nowhere"): DirectProcess {
  return new DirectProcess({
    sys: own,
    directory,
    supervisor: { pid: 0, process: undefined, reaped: Promise.resolve() },
    pid: process.pid,
    process: identify(process.pid),
    startedAt: "",
  });
}

test("a signal that cannot be sent is an error, and does not say that the process has ended", () => {
  const recording = createRecordingSys();
  const run = runWith(recording);
  recording.failOn({ method: "pidfdOpen", nth: 1, errno: "EMFILE" });
  expect(() => run.signal(15)).toThrow(expect.objectContaining({ code: "unavailable" }));
  run.signal(15);
  expect(recording.transcript().filter((line) => line.startsWith("pidfdSendSignal"))).toHaveLength(1);
});

test("a start is possible once, and only while a process has the gate open", async () => {
  const directory = mkdtempSync(join(tmpdir(), "fathom-gate-"));
  const run = runWith(sys, directory);
  await expect(run.start()).rejects.toMatchObject({ code: "conflict" });
  const gate = makeGate(sys, directory);
  await run.start();
  const bytes = new Uint8Array(2);
  expect(sys.read(gate, bytes)).toBe(1);
  await expect(run.start()).rejects.toMatchObject({ code: "conflict" });
  sys.close(gate);
  sys.close(makeGate(sys, directory));
  await expect(run.start()).rejects.toMatchObject({ code: "conflict" });
  rmSync(directory, { recursive: true });
});

test("only the own pid file is removed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "fathom-pid-"));
  const path = join(directory, "pid");
  await writePidFile(path, 41);
  writeFileSync(path, "42");
  await removePidFile(path, 41);
  expect(readFileSync(path, "utf8")).toBe("42");
  await removePidFile(path, 42);
  await removePidFile(path, 42);
  expect(() => readFileSync(path)).toThrow("ENOENT");
  rmSync(directory, { recursive: true });
});
