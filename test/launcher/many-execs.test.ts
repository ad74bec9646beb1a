/** More processes under one supervisor than its tables had room for. */
import { afterAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { ExecHandle } from "@fathom/runtime";
import { alive, bothOutputs, eventually, execOperation, Reader, Rig, start, unframe } from "./rig.ts";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

test("600 execs run at a time, each with its own output, input and status", async () => {
  const { supervisor } = await start(rig, ["sleep", "1000"]);
  const exec = (index: number, attached: boolean): Promise<ExecHandle> =>
    supervisor.exec({
      execId: `exec-${index}`,
      plan: {
        version: 1,
        stem: { newNamespaces: [], cgroupProcs: [] },
        operations: [
          { kind: "new-session" },
          execOperation(attached ? ["sh", "-c", `read a; echo $a-${index}; exit ${index % 100}`] : ["sleep", "1000"]),
        ],
        terminal: null,
      },
      openStdin: attached,
      attach: attached ? [{ stdin: true, stdout: true, stderr: true, closeStdin: true }] : [],
    });
  const idle: ExecHandle[] = [];
  for (let index = 0; index < 300; index++) idle.push(await exec(index, false));
  const busy: ExecHandle[] = [];
  for (let index = 300; index < 600; index++) busy.push(await exec(index, true));
  const readers = busy.map(({ attachments }) => new Reader(attachments[0]!.fd));
  readers.forEach((reader, index) => reader.socket.end(`word${index}\n`));
  for (const [index, handle] of busy.entries()) {
    expect((await handle.exit).code).toBe((index + 300) % 100);
    expect(unframe(await readers[index]!.ended).stdout).toBe(`word${index}-${index + 300}\n`);
  }
  await supervisor.signal(9, "exec-299");
  expect((await idle[299]!.exit).code).toBe(137);
  await supervisor.signal(9);
  expect((await supervisor.exit).code).toBe(137);
  for (const handle of idle) expect((await handle.exit).code).toBe(137);
  await eventually("the supervisor ends", () => !alive(supervisor.supervisorPid));
}, 60_000);

test("a supervisor that waits has less than 0.1 MB of its own", async () => {
  const { supervisor } = await start(rig, ["sh", "-c", "echo up; exec sleep 1000"], { attach: [bothOutputs] });
  await eventually("it has written", () => readFileSync(`/proc/${supervisor.pid}/comm`, "utf8") === "sleep\n");
  const rollup = readFileSync(`/proc/${supervisor.supervisorPid}/smaps_rollup`, "utf8");
  // Without the pages of the program, which all supervisors share.
  expect(Number(/^Anonymous:\s+(\d+)/m.exec(rollup)?.[1])).toBeLessThan(100);
  await supervisor.signal(9);
  await supervisor.exit;
});
