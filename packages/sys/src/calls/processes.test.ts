import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { O_NONBLOCK, O_RDONLY, SIGKILL, SIGSTOP, SIGTERM } from "../constants.ts";
import type { SpawnRequest } from "../contract.ts";
import { bytes, sys, sysErrorOf, text } from "../testing/support.ts";
import { startTimeOf, until } from "@fathom/base/testing";

const shell = sys.open("/bin/sh", O_RDONLY);

async function ended(pid: number): Promise<{ code: number; signal: number }> {
  let status: ReturnType<typeof sys.waitpid>;
  await until(`process ${pid} has ended`, () => (status = sys.waitpid(pid)) !== undefined);
  return status!;
}

/** Runs `script` and returns what it wrote to descriptor 1. */
async function output(script: string, request: Partial<SpawnRequest> = {}): Promise<string> {
  const [readEnd, writeEnd] = sys.pipe(0);
  const pid = sys.spawn({
    executableFd: shell,
    argv: ["sh", "-c", script],
    env: [],
    fds: [-1, writeEnd, -1],
    ...request,
  });
  sys.close(writeEnd);
  const status = await ended(pid);
  const buffer = new Uint8Array(65536);
  const length = sys.read(readEnd, buffer);
  sys.close(readEnd);
  expect(status).toEqual({ code: 0, signal: 0 });
  return text(buffer.subarray(0, length));
}

describe("spawn", () => {
  test("gives exactly the arguments, the environment and the descriptors", async () => {
    const script = 'echo "$0|$1|$A|$PATH_NOT_SET"; ls /proc/self/fd | tr "\\n" " "';
    const printed = await output(script, {
      argv: ["sh", "-c", script, "zero", "o ne"],
      env: ["A=b c", "PATH=/bin:/usr/bin"],
    });
    // ls itself opens one more descriptor, the directory.
    expect(printed).toBe("zero|o ne|b c|\n0 1 2 3 ");
  });

  test("works for a sealed memory file", async () => {
    const fd = sys.memfdCreate("true", readFileSync("/bin/true"), true);
    const pid = sys.spawn({ executableFd: fd, argv: ["true"], env: [], fds: [-1, -1, -1] });
    expect(await ended(pid)).toEqual({ code: 0, signal: 0 });
    sys.close(fd);
  });

  test("puts overlapping descriptors in their right places", async () => {
    // The child's 0 and 1 are our 1 and 0, and the executable may be in between.
    const [readA, writeA] = sys.pipe(0);
    const [readB, writeB] = sys.pipe(0);
    const low = Math.min(readA, writeA, readB, writeB);
    const fds = Array.from({ length: low + 6 }, () => -1);
    fds[writeB] = writeA;
    fds[writeA] = writeB;
    const script = `echo to-a >&${writeB}; echo to-b >&${writeA}`;
    const pid = sys.spawn({
      executableFd: shell,
      argv: ["sh", "-c", script.replace(/>&(\d+)/g, ">/proc/self/fd/$1")],
      env: [],
      fds,
    });
    expect(await ended(pid)).toEqual({ code: 0, signal: 0 });
    const buffer = new Uint8Array(16);
    expect(text(buffer.subarray(0, sys.read(readA, buffer)))).toBe("to-a\n");
    expect(text(buffer.subarray(0, sys.read(readB, buffer)))).toBe("to-b\n");
    for (const fd of [readA, writeA, readB, writeB]) sys.close(fd);
  });

  test("has default signals, none blocked, and its own session when asked", async () => {
    const status = await output("cat /proc/self/status", { env: ["PATH=/bin:/usr/bin"] });
    expect(/SigBlk:\s+(\w+)/.exec(status)?.[1]).toBe("0000000000000000");
    expect(/SigIgn:\s+(\w+)/.exec(status)?.[1]).toBe("0000000000000000");
    const session = async (newSession: boolean): Promise<number> =>
      Number((await output("read -r line </proc/self/stat; echo $line", { newSession })).split(" ")[5]);
    const own = Number(readFileSync("/proc/self/stat", "utf8").split(") ")[1]?.split(" ")[3]);
    expect(await session(false)).toBe(own);
    expect(await session(true)).not.toBe(own);
  });

  test("a failure leaves no child and no descriptor", () => {
    const before = readFileSync("/proc/self/status", "utf8");
    const notExecutable = sys.memfdCreate("text", bytes("no program"), false);
    const spawn = (): number => sys.spawn({ executableFd: notExecutable, argv: ["x"], env: [], fds: [] });
    expect(sysErrorOf(spawn).message).toBe("execveat x: Exec format error (ENOEXEC)");
    expect(sysErrorOf(() => sys.spawn({ executableFd: 9999, argv: ["x"], env: [], fds: [] })).errnoName).toBe("EBADF");
    const nul = (): number => sys.spawn({ executableFd: shell, argv: ["a\0b"], env: [], fds: [] });
    expect(sysErrorOf(nul).errnoName).toBe("EINVAL");
    sys.close(notExecutable);
    const blocked = (status: string): string | undefined => /SigBlk:\s+(\w+)/.exec(status)?.[1];
    expect(blocked(readFileSync("/proc/self/status", "utf8"))).toBe(blocked(before));
  });

  test("when it returns, the new process has no descriptor that it was not given", async () => {
    // The kernel closes descriptors of a new program in the order of their numbers, while this process may run again.
    const many = Array.from({ length: 2000 }, () => sys.open("/dev/null", O_RDONLY));
    let held = 0;
    for (let round = 0; round < 50; round++) {
      const [readEnd, writeEnd] = sys.pipe(O_NONBLOCK);
      const pid = sys.spawn({ executableFd: shell, argv: ["sh", "-c", ":"], env: [], fds: [-1, -1, -1] });
      sys.close(writeEnd);
      // With one more writer, this is EAGAIN and not the end.
      if (sys.read(readEnd, new Uint8Array(1)) !== 0) held++;
      sys.close(readEnd);
      await ended(pid);
    }
    for (const fd of many) sys.close(fd);
    expect(held).toBe(0);
  });

  test("many at once from several threads", async () => {
    const source = `
      const { createSys } = await import(${JSON.stringify(new URL("../index.ts", import.meta.url).href)});
      const sys = createSys();
      const fd = sys.open("/bin/true", 0);
      let bad = 0;
      for (let round = 0; round < 60; round++) {
        const pid = sys.spawn({ executableFd: fd, argv: ["true"], env: [], fds: [-1, -1, -1] });
        let status;
        while ((status = sys.waitpid(pid)) === undefined) await Bun.sleep(1);
        if (status.code !== 0 || status.signal !== 0) bad += 1;
      }
      postMessage(bad);
    `;
    const url = URL.createObjectURL(new Blob([source], { type: "application/typescript" }));
    const results = await Promise.all(
      Array.from({ length: 3 }, () => {
        const worker = new Worker(url);
        return new Promise((resolve, reject) => {
          worker.onmessage = (event) => {
            worker.terminate();
            resolve(event.data);
          };
          worker.onerror = (event) => reject(new Error(event.message));
        });
      }),
    );
    expect(results).toEqual([0, 0, 0]);
  });
});

describe("processes", () => {
  test("are signalled by descriptor and reaped one by one", async () => {
    const pid = sys.spawn({
      executableFd: shell,
      argv: ["sh", "-c", "exec sleep 60"],
      env: ["PATH=/bin:/usr/bin"],
      fds: [],
    });
    expect(sys.waitpid(pid)).toBeUndefined();
    const pidfd = sys.pidfdOpen(pid);
    sys.pidfdSendSignal(pidfd, SIGKILL);
    expect(await ended(pid)).toEqual({ code: 0, signal: SIGKILL });
    expect(sysErrorOf(() => sys.waitpid(pid)).errnoName).toBe("ECHILD");
    expect(sysErrorOf(() => sys.pidfdSendSignal(pidfd, SIGKILL)).errnoName).toBe("ESRCH");
    expect(sysErrorOf(() => sys.kill(pid, SIGTERM)).errnoName).toBe("ESRCH");
    expect(sysErrorOf(() => sys.waitpid(-1)).errnoName).toBe("EINVAL");
    sys.close(pidfd);
  });

  test("exit codes above 127 are not read as signals", async () => {
    const pid = sys.spawn({ executableFd: shell, argv: ["sh", "-c", "exit 137"], env: [], fds: [] });
    expect(await ended(pid)).toEqual({ code: 137, signal: 0 });
  });

  test("differ by their start time, whatever their name", async () => {
    const [input] = sys.pipe(0);
    const script = "printf 'a) b (c' >/proc/self/comm; read -r line";
    const odd = sys.spawn({ executableFd: shell, argv: ["sh", "-c", script], env: [], fds: [input, -1, -1] });
    await until("it has its odd name", () => readFileSync(`/proc/${odd}/comm`, "utf8") === "a) b (c\n");
    const startTime = startTimeOf(odd);
    expect(sys.allRun([{ pid: odd, startTime }])).toBe(true);
    expect(sys.allRun([{ pid: odd, startTime: String(BigInt(startTime) - 1n) }])).toBe(false);
    sys.kill(odd, SIGKILL);
    await ended(odd);
    expect(sys.allRun([{ pid: odd, startTime }])).toBe(false);
  });

  test("all run until one has ended, is reaped, or its number belongs to another process", async () => {
    const identify = (pid: number) => ({ pid, startTime: startTimeOf(pid) });
    const reach = async (pid: number, state: string): Promise<void> => {
      const stateOf = (): string | undefined => readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.[0];
      for (const deadline = Date.now() + 5000; Date.now() < deadline && stateOf() !== state;) await Bun.sleep(5);
      expect(stateOf()).toBe(state);
    };
    const own = identify(process.pid);
    const [input] = sys.pipe(0);
    const other = identify(
      sys.spawn({ executableFd: shell, argv: ["sh", "-c", "read -r line"], env: [], fds: [input, -1, -1] }),
    );
    expect(sys.allRun([])).toBe(true);
    expect(sys.allRun([own, other])).toBe(true);
    sys.kill(other.pid, SIGSTOP);
    await reach(other.pid, "T");
    expect(sys.allRun([other, own])).toBe(true);
    const another = { pid: other.pid, startTime: String(BigInt(other.startTime) + 1n) };
    expect(sys.allRun([own, another])).toBe(false);
    sys.kill(other.pid, SIGKILL);
    await reach(other.pid, "Z");
    expect(sys.allRun([own, other])).toBe(false);
    await ended(other.pid);
    expect(sys.allRun([other, own])).toBe(false);
    expect(sys.allRun([own])).toBe(true);
  });
});
