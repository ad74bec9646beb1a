/** Streams: frames, early output, input and its end, terminals, clients that leave or do not read. */
import { afterAll, expect, test } from "bun:test";
import { logRecords, Reader, Rig, run, start, sys, unframe, withInput, bothOutputs } from "./rig.ts";
import { join } from "node:path";
import { until } from "@fathom/base/testing";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

test("stdout and stderr arrive in frames of their own, from the first byte to the last", async () => {
  const result = await run(rig, ["sh", "-c", "echo out; echo err >&2; seq 20000"]);
  expect(result.stdout).toBe(`out\n${Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join("")}`);
  expect(result.stderr).toBe("err\n");
});

test("only the chosen streams", async () => {
  const attach = [
    { ...bothOutputs, stderr: false },
    { ...bothOutputs, stdout: false },
  ];
  const { supervisor, attachments } = await start(rig, ["sh", "-c", "echo out; echo err >&2"], { attach });
  const [first, second] = await Promise.all(attachments.map(({ fd }) => new Reader(fd).ended));
  expect(unframe(first!)).toMatchObject({ stdout: "out\n", stderr: "" });
  expect(unframe(second!)).toMatchObject({ stdout: "", stderr: "err\n" });
  await supervisor.exit;
});

test("all input reaches the program, and its end follows the client's half-close", async () => {
  const { supervisor, attachments } = await start(rig, ["wc", "-c"], { openStdin: true, attach: [withInput] });
  const reader = new Reader(attachments[0]!.fd);
  reader.socket.write(Buffer.alloc(3_000_000, "x"));
  reader.socket.end();
  expect(unframe(await reader.ended).stdout).toBe("3000000\n");
  expect((await supervisor.exit).code).toBe(0);
});

test("without closeStdin stdin stays open for the next client", async () => {
  const options = { ...withInput, closeStdin: false };
  const { supervisor, attachments } = await start(rig, ["sh", "-c", "read a; read b; echo $a-$b"], {
    openStdin: true,
    attach: [options],
  });
  const first = new Reader(attachments[0]!.fd);
  first.socket.write("one\n");
  first.socket.end();
  const second = new Reader((await supervisor.attach(options)).fd);
  // sleep: the end of the first client's input must not end the process's input
  await Bun.sleep(50);
  second.socket.write("two\n");
  expect(unframe(await second.ended).stdout).toBe("one-two\n");
  expect((await supervisor.exit).code).toBe(0);
});

test("without openStdin input is /dev/null", async () => {
  const result = await run(rig, ["sh", "-c", "cat; echo end"], { attach: [withInput] });
  expect(result.stdout).toBe("end\n");
});

test("a large copy through cat arrives unchanged", async () => {
  const { supervisor, attachments } = await start(rig, ["cat"], { openStdin: true, attach: [withInput] });
  const reader = new Reader(attachments[0]!.fd);
  const data = Buffer.from(Array.from({ length: 400_000 }, (_, index) => `${index}\n`).join(""));
  reader.socket.write(data);
  reader.socket.end();
  expect(unframe(await reader.ended).stdout === data.toString()).toBe(true);
  await supervisor.exit;
});

test("a client that leaves does no harm, a client that does not read blocks only its own container", async () => {
  const { supervisor, attachments, directory } = await start(rig, ["sh", "-c", "seq 300000; echo done >&2"], {
    attach: [bothOutputs, bothOutputs],
  });
  const log = join(directory, "log");
  // The first client never reads: the pipe fills and the program waits.
  // sleep: a program that nothing blocks ends in a few milliseconds
  expect(await Promise.race([supervisor.exit, Bun.sleep(300).then(() => "waiting")])).toBe("waiting");
  // It leaves: the output continues, and the other client has missed nothing.
  sys.close(attachments[0]!.fd);
  const output = unframe(await new Reader(attachments[1]!.fd).ended);
  expect((await supervisor.exit).code).toBe(0);
  expect(output.stdout.length).toBe(Array.from({ length: 300_000 }, (_, index) => `${index + 1}\n`).join("").length);
  expect(output.stderr).toBe("done\n");
  expect(logRecords(log).length).toBe(300_001);
});

test("the exit is known while a client still has to read, and the log is complete by then", async () => {
  for (const attach of [[bothOutputs], [withInput]]) {
    const { supervisor, attachments, directory } = await start(rig, ["seq", "5000"], { attach });
    expect((await supervisor.exit).code).toBe(0);
    expect(logRecords(join(directory, "log")).length).toBe(5000);
    // sleep: a client that does not read for a while
    expect(unframe(await new Reader(attachments[0]!.fd).ended).stdout.endsWith("\n5000\n")).toBe(true);
  }
});

test("a terminal: /dev/pts/0, controlling, CRLF, size and resize, console bound", async () => {
  const terminal = { rows: 33, columns: 111 };
  const result = await run(rig, ["sh", "-c", "tty; stty size; ls -l /dev/console | head -c 1; echo err >&2"], {
    terminal,
  });
  expect(result.stdout).toBe("/dev/pts/0\r\n33 111\r\nc" + "err\r\n");
  const { supervisor, attachments } = await start(
    rig,
    ["sh", "-c", "trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.02; done"],
    { terminal, openStdin: true, attach: [withInput] },
  );
  const reader = new Reader(attachments[0]!.fd);
  await reader.until(/ready/);
  await supervisor.resize(40, 80);
  expect((await supervisor.exit).code).toBe(5);
  expect((await reader.ended).toString()).toContain("40 80\r\n");
});

test("a terminal echoes input, and ^C interrupts", async () => {
  const { supervisor, attachments } = await start(rig, ["sh", "-c", "read a; echo got:$a; sleep 100"], {
    terminal: { rows: 0, columns: 0 },
    openStdin: true,
    attach: [withInput],
    init: true,
  });
  const reader = new Reader(attachments[0]!.fd);
  reader.socket.write("hello\r");
  await reader.until(/got:hello/);
  reader.socket.write("\x03");
  expect((await supervisor.exit).code).toBe(130);
  expect((await reader.ended).toString()).toContain("hello\r\ngot:hello\r\n");
});

test("a program of another user can open /dev/stdout again", async () => {
  const asUser = { kind: "set-user", uid: 1234, gid: 1234, groups: [] } as const;
  const result = await run(rig, ["sh", "-c", "echo again > /dev/stdout; id -u"], { process: [asUser] });
  expect(result.stdout).toBe("again\n1234\n");
});

test("a hundred attachments at once", async () => {
  const { supervisor } = await start(rig, ["sh", "-c", "read a; echo $a"], { openStdin: true });
  const attachments = [];
  for (let index = 0; index < 100; index++) attachments.push(await supervisor.attach(withInput));
  const readers = attachments.map(({ fd }) => new Reader(fd));
  readers[99]!.socket.write("all\n");
  for (const reader of readers) expect(unframe(await reader.ended).stdout).toBe("all\n");
  await supervisor.exit;
  await until("the supervisor ends", () => {
    try {
      process.kill(supervisor.supervisorPid, 0);
      return false;
    } catch {
      return true;
    }
  });
});
