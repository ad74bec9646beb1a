/** More processes under one supervisor than its tables had room for. */
import { afterAll, expect, test } from "bun:test";
import { constants } from "node:os";
import { readdirSync, readFileSync } from "node:fs";
import { randomId } from "@fathom/base";
import type { ExecHandle } from "@fathom/runtime";
import { bothOutputs, execOperation, launcher, Reader, Rig, start, sys, unframe } from "./rig.ts";
import { isAlive, until } from "@fathom/base/testing";

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
  await until("the supervisor ends", () => !isAlive(supervisor.supervisorPid));
}, 60_000);

test("a supervisor that waits uses less than 0.1 MB of its own", async () => {
  const { supervisor } = await start(rig, ["sh", "-c", "echo up; exec sleep 1000"], { attach: [bothOutputs] });
  await until("it has written", () => readFileSync(`/proc/${supervisor.pid}/comm`, "utf8") === "sleep\n");
  const rollup = readFileSync(`/proc/${supervisor.supervisorPid}/smaps_rollup`, "utf8");
  // Without the pages of the program, which all supervisors share.
  expect(Number(/^Anonymous:\s+(\d+)/m.exec(rollup)?.[1])).toBeLessThan(100);
  await supervisor.signal(9);
  await supervisor.exit;
});

test("without descriptors an exec or a peer is rejected or waits, the container continues, and everything works afterwards", async () => {
  const { supervisor, directory } = await start(rig, ["sleep", "1000"]);
  const limit = (most: number): void => {
    const command = ["prlimit", "--pid", String(supervisor.supervisorPid), `--nofile=${most}:`];
    expect(Bun.spawnSync(command).exitCode).toBe(0);
  };
  const descriptors = (): number => readdirSync(`/proc/${supervisor.supervisorPid}/fd`).length;
  const exec = (): Promise<ExecHandle> =>
    supervisor.exec({
      execId: randomId(),
      plan: {
        version: 1,
        stem: { newNamespaces: [], cgroupProcs: [] },
        operations: [{ kind: "new-session" }, execOperation(["true"])],
        terminal: null,
      },
      openStdin: true,
      attach: [bothOutputs],
    });
  await (
    await exec()
  ).exit;
  await until("its descriptors are closed", () => descriptors() < 14);
  const before = descriptors();
  // From no descriptor to as many as an exec needs: each of its calls fails once.
  let refused = 0;
  let done = 0;
  for (let more = 0; more < 24; more++) {
    limit(before + more);
    try {
      const handle = await exec();
      expect((await handle.exit).code).toBe(0);
      sys.close(handle.attachments[0]!.fd);
      done++;
    } catch (error) {
      expect(error).toMatchObject({ stage: "launch", errno: constants.errno.EMFILE });
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(3);
  expect(done).toBeGreaterThan(3);
  // A peer that connects meanwhile is accepted when there is a descriptor again.
  limit(before);
  const found = launcher.reconnect(directory);
  // sleep: the peer waits for its connection meanwhile
  await Promise.race([found, Bun.sleep(50)]);
  limit(1000);
  const again = await found;
  expect(again.kind).toBe("running");
  if (again.kind === "running") again.supervisor.disconnect();
  await until("no descriptor stays", () => descriptors() <= before);
  await supervisor.signal(9);
  await supervisor.exit;
}, 60_000);
