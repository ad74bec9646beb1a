import { expect, test } from "bun:test";
import { EngineError } from "@fathom/base";
import { encodePlan, encodeStem, namespaceMask } from "./plan-encoding.ts";
import type { Operation } from "./plan.ts";
import { WireReader, WireWriter } from "./wire.ts";

/** Header fields, then a reader of each operation's payload. */
function decode(bytes: Uint8Array): { header: number[]; operations: { kind: number; payload: WireReader }[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = [0, 4, 8, 12].map((at) => view.getUint32(at, true));
  header.push(view.getUint16(16, true), view.getUint16(18, true), view.getUint16(20, true));
  const operations = [];
  for (let at = 24; at < bytes.length;) {
    const length = view.getUint32(at + 4, true);
    operations.push({
      kind: view.getUint32(at, true),
      payload: new WireReader(bytes.subarray(at + 8, at + 8 + length)),
    });
    at += 8 + length;
  }
  return { header, operations };
}

function payloadOf(operation: Operation): WireReader {
  return decode(encodePlan({ operations: [operation], terminal: null })).operations[0]!.payload;
}

test("the header has the magic, the version, the whole length, the count and the terminal", () => {
  const bytes = encodePlan({
    operations: [{ kind: "pivot-root" }, { kind: "new-session" }],
    terminal: { rows: 24, columns: 80 },
  });
  const { header, operations } = decode(bytes);
  expect(header).toEqual([0x4e4c5046, 2, bytes.length, 2, 1, 24, 80]);
  expect(operations.map(({ kind }) => kind)).toEqual([14, 25]);
});

test("texts are UTF-8 with their length in bytes and a final zero", () => {
  const reader = payloadOf({ kind: "set-hostname", name: "höst" });
  expect(reader.text()).toBe("höst");
  expect(() => reader.u32()).toThrow();
});

test("a mount's options, attributes and target", () => {
  const reader = payloadOf({
    kind: "mount",
    type: "tmpfs",
    source: "tmpfs",
    options: [["size", "64k"], ["noswap"]],
    attributes: { set: ["nosuid", "noatime"], clear: ["readonly"] },
    target: "/x",
    create: "file",
    propagation: "rslave",
    copyUp: true,
  });
  expect([reader.text(), reader.text(), reader.u32()]).toEqual(["tmpfs", "tmpfs", 2]);
  expect([reader.u32(), reader.text(), reader.text()]).toEqual([1, "size", "64k"]);
  expect([reader.u32(), reader.text(), reader.text()]).toEqual([0, "noswap", ""]);
  // The access time is one field: set to noatime, all of it is cleared first.
  expect([reader.u64(), reader.u64(), reader.u32()]).toEqual([0x12n, 0x71n, 0]);
  expect([reader.text(), reader.u32(), reader.u32(), reader.u32()]).toEqual(["/x", 2, (1 << 19) | 0x4000, 1]);
});

test("a bind's flags", () => {
  const reader = payloadOf({
    kind: "bind",
    source: "/a",
    sourceInRoot: true,
    recursive: true,
    attributes: { set: ["readonly"], recursive: true },
    target: "/b",
    create: true,
  });
  expect([reader.text(), reader.text(), reader.u32(), reader.u64(), reader.u64(), reader.u32()]).toEqual([
    "/a",
    "",
    7,
    1n,
    0n,
    1,
  ]);
});

test("limits, scores and masks keep their whole range", () => {
  const limit = payloadOf({ kind: "rlimit", resource: "RLIMIT_NOFILE", soft: 2n ** 64n - 1n, hard: 5n });
  expect([limit.u32(), limit.u64(), limit.u64()]).toEqual([7, 2n ** 64n - 1n, 5n]);
  expect(payloadOf({ kind: "oom-score-adj", value: -1000 }).i32()).toBe(-1000);
  const rights = payloadOf({ kind: "capabilities", effective: 1n << 40n, permitted: 2n, inheritable: 3n, ambient: 4n });
  expect([rights.u64(), rights.u64(), rights.u64(), rights.u64()]).toEqual([1n << 40n, 2n, 3n, 4n]);
});

test("sysctl keys become paths", () => {
  expect(payloadOf({ kind: "sysctl", key: "net.ipv4.ip_forward", value: "1" }).text()).toBe("net/ipv4/ip_forward");
});

test("the program: candidates, arguments, environment, init", () => {
  const reader = payloadOf({ kind: "exec", candidates: [], argv: ["sh", ""], env: ["A=1"], init: true });
  expect([reader.u32(), reader.u32(), reader.text(), reader.text()]).toEqual([0, 2, "sh", ""]);
  expect([reader.u32(), reader.text(), reader.u32()]).toEqual([1, "A=1", 1]);
});

test("a NUL in a text, an unknown limit and a plan that is too large are rejected", () => {
  const refused: readonly Operation[] = [
    { kind: "set-hostname", name: "a\0b" },
    { kind: "rlimit", resource: "RLIMIT_NONE", soft: 1n, hard: 1n },
    { kind: "exec", candidates: ["/a"], argv: ["x".repeat(9 << 20)], env: [] },
  ];
  for (const operation of refused) {
    expect(() => encodePlan({ operations: [operation], terminal: null })).toThrow(EngineError);
  }
});

test("a stem: namespaces as flags, cgroups, maps in the kernel's form", () => {
  const writer = new WireWriter();
  encodeStem(writer, {
    newNamespaces: ["user", "pid"],
    cgroupProcs: ["/c/cgroup.procs"],
    uidMap: [
      { containerId: 0, hostId: 100000, size: 65536 },
      { containerId: 65536, hostId: 1, size: 1 },
    ],
  });
  const reader = new WireReader(writer.finish());
  expect(reader.u32()).toBe(0x30000000);
  expect([reader.u32(), reader.text(), reader.text()]).toEqual([1, "/c/cgroup.procs", ""]);
  expect([reader.text(), reader.text()]).toEqual(["0 100000 65536\n65536 1 1\n", ""]);
  expect(namespaceMask(["mount", "cgroup", "time"])).toBe(0x02020080);
});

test("an error with words, for what fathom-init would reject as a broken plan", () => {
  const refused = (operations: Operation[]): void => {
    expect(() => encodePlan({ operations, terminal: null })).toThrow(/: at most \d+ are possible$/);
  };
  refused(Array.from({ length: 16_385 }, (): Operation => ({ kind: "mask", path: "/x" })));
  refused([{ kind: "set-user", uid: 0, gid: 0, groups: Array.from({ length: 65_537 }, (_, index) => index) }]);
  const words = Array.from({ length: 262_145 }, () => "");
  refused([{ kind: "exec", candidates: ["/a"], argv: words, env: [] }]);
  refused([{ kind: "exec", candidates: ["/a"], argv: ["a"], env: words }]);
});
