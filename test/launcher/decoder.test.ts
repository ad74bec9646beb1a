/** The C decoders of plans and of requests, built with the sanitizers, with correct and with damaged input. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Operation } from "@fathom/runtime";
import { encodePlan, frame, messageTypes, WireWriter } from "@fathom/runtime/testing";
import { plan, Rig } from "./rig.ts";

const base = mkdtempSync(join(tmpdir(), "fathom-decoder-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));
const native = join(import.meta.dir, "../../native/init");

test("damaged plans are rejected or read within their bounds", async () => {
  using rig = new Rig();
  const program = join(base, "plan-fuzz");
  const sources = ["fuzz/plan-fuzz.c", "child/plan.c", "base/wire.c", "base/base.c"].map((name) => join(native, name));
  await Bun.$`gcc -O1 -g -std=gnu11 -fsanitize=address,undefined -fno-sanitize-recover=all ${sources} -o ${program}`.quiet();
  const process: Operation[] = [
    { kind: "set-user", uid: 1, gid: 2, groups: [3, 4, 5] },
    { kind: "seccomp", program: new Uint8Array(64), flags: 0 },
    { kind: "sysctl", key: "net.a", value: "b" },
    { kind: "mask", path: "/x" },
    { kind: "join-process", namespaces: ["mount", "network"] },
    { kind: "meet", reached: "/a", proceed: "/b" },
    {
      kind: "hook",
      stage: "createContainer",
      path: "/h",
      argv: ["h", "a"],
      env: ["A=1"],
      timeoutMs: 1,
      before: "{",
      after: "}",
    },
    { kind: "scheduler", policy: 3, nice: -1, priority: 0, flags: 0, runtime: 1n, deadline: 2n, period: 3n },
    { kind: "io-priority", value: 7 },
    { kind: "cpu-affinity", cpus: [0, 9, 70] },
    { kind: "find-program", candidates: ["/bin/a", "/usr/bin/a"], argv: ["a"] },
    { kind: "bind", source: "/a", target: "/b", recursive: true, create: true, attributes: { set: [] } },
  ];
  const small = join(base, "small.plan");
  const large = join(base, "large.plan");
  writeFileSync(small, encodePlan(plan(rig, ["true"], { process })));
  writeFileSync(
    large,
    encodePlan(plan(rig, ["sh", ...Array.from({ length: 500 }, (_, index) => `argument ${index}`)])),
  );
  const result = await Bun.$`${program} 20000 ${small} ${large}`.quiet().nothrow();
  expect(result.stderr.toString()).toBe("");
  expect(result.exitCode).toBe(0);
  const [, accepted, all] = /^accepted (\d+) of (\d+)/.exec(result.stdout.toString()) ?? [];
  // Some damage is harmless (another letter), most is noticed: both cases happened.
  expect(Number(accepted)).toBeGreaterThan(100);
  expect(Number(accepted)).toBeLessThan(Number(all));
}, 60_000);

test("damaged requests on a control socket are rejected or executed, each is answered once, and none leaves a descriptor", async () => {
  using rig = new Rig();
  const program = join(base, "request-fuzz");
  const own = [
    "requests",
    "launch-requests",
    "connections",
    "process-table",
    "processes",
    "streams",
    "clients",
    "log",
    "log-entry",
    "log-rotation",
    "log-times",
  ];
  const names = [
    "fuzz/request-fuzz",
    ...[...own, "exit-status"].map((name) => `supervisor/${name}`),
    ...["escape", "message", "wire", "base"].map((name) => `base/${name}`),
    "child/plan",
    "child/reaper",
  ];
  const files = names.map((name) => join(native, `${name}.c`));
  const wrap = ["map_pages", "map_own_pages", "unmap_pages"].map((name) => `-Wl,--wrap=${name}`);
  await Bun.$`gcc -O1 -g -std=gnu11 -fsanitize=address,undefined -fno-sanitize-recover=all ${files} ${wrap} -o ${program}`.quiet();
  const encoded = encodePlan(plan(rig, ["true"]));
  const stem = (writer: WireWriter): WireWriter =>
    writer.u32(0x20000).u32(2).text("/none/a").text("/none/b").text("/none/pid").text("0 1 2").text("0 1 2");
  const directory = join(base, "run");
  const log = join(directory, "log");
  const messages: [number, WireWriter][] = [
    [messageTypes.prepare, stem(new WireWriter()).text("title").text("")],
    [
      messageTypes.launch,
      new WireWriter().u32(11).text(log).u64(1n).u32(2).text('{"a":"b"}').u32(2).u32(1).u32(7).bytes(encoded),
    ],
    [messageTypes.state, new WireWriter()],
    [messageTypes.attach, new WireWriter().text("").u32(7)],
    [messageTypes.exec, stem(new WireWriter().text("an-exec").u32(1)).u32(1).u32(7).bytes(encoded)],
    [messageTypes.signal, new WireWriter().text("").u32(9)],
    [messageTypes.resize, new WireWriter().text("an-exec").u32(24).u32(80)],
    [messageTypes.start, new WireWriter()],
    [messageTypes.reopenLog, new WireWriter()],
    [10, new WireWriter().u32(2).u32(2).text("place").text("other")],
    [11, new WireWriter().u32(1).text("/none/cgroup.procs").text("")],
  ];
  mkdirSync(directory);
  const inputs = messages.map(([type, payload], index) => {
    const file = join(base, `message-${index}`);
    writeFileSync(file, frame(type, index + 1, payload.finish()));
    return file;
  });
  const result = await Bun.$`${program} 4000 ${directory} ${inputs}`.quiet().nothrow();
  expect(result.stderr.toString()).toBe("");
  expect(result.exitCode).toBe(0);
  const [, answered, all] = /^answered (\d+) of (\d+)/.exec(result.stdout.toString()) ?? [];
  expect(Number(answered)).toBeGreaterThan(1000);
  expect(Number(answered)).toBeLessThan(Number(all));
}, 120_000);
