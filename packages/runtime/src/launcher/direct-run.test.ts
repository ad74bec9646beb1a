import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSys, SOCK_STREAM } from "@fathom/sys";
import { createRecordingSys } from "@fathom/sys/testing";
import { SupervisorConnection } from "../connection/connection.ts";
import { identify } from "../supervisor/process-facts.ts";
import { DirectProcess, removePidFile, writePidFile, type DirectSys } from "./direct-run.ts";

const sys = createSys();

function runWith(own: DirectSys): { readonly run: DirectProcess; readonly theirs: number } {
  const [mine, theirs] = sys.socketpair(SOCK_STREAM, true);
  const run = new DirectProcess({
    sys: own,
    connection: new SupervisorConnection(sys, mine),
    directory: "/nowhere",
    supervisor: { pid: 0, process: undefined, reaped: Promise.resolve() },
    pid: process.pid,
    process: identify(process.pid),
    startedAt: "",
  });
  return { run, theirs };
}

test("a signal that cannot be sent is an error, and does not say that the process has ended", () => {
  const recording = createRecordingSys();
  const { run, theirs } = runWith(recording);
  recording.failOn({ method: "pidfdOpen", nth: 1, errno: "EMFILE" });
  expect(() => run.signal(15)).toThrow(expect.objectContaining({ code: "unavailable" }));
  run.signal(15);
  expect(recording.transcript().filter((line) => line.startsWith("pidfdSendSignal"))).toHaveLength(1);
  sys.close(theirs);
});

test("a start whose connection ends does not say that the process has ended", async () => {
  const { run, theirs } = runWith(sys);
  const start = run.start();
  sys.close(theirs);
  await expect(start).rejects.toMatchObject({ code: "unavailable" });
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
