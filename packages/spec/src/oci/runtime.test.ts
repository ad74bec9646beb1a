import { expect, test } from "bun:test";
import { checkOciSpec, parseOciSpec } from "./runtime.ts";
import { parseJsonExactly, toUint64 } from "./values.ts";

test("a small configuration parses and unknown members are dropped", () => {
  const spec = parseOciSpec(
    JSON.stringify({
      ociVersion: "1.3.0",
      surprise: 1,
      root: { path: "rootfs" },
      process: { cwd: "/", args: ["sh"], capabilities: null },
      linux: { namespaces: [{ type: "pid" }], resources: { devices: [{ allow: false, access: "rwm" }] } },
    }),
  );
  expect(spec.process?.user).toEqual({ uid: 0, gid: 0 });
  expect(spec.linux?.namespaces).toEqual([{ type: "pid" }]);
  expect("surprise" in spec).toBe(false);
});

test("the error names every wrong member by its path", () => {
  const wrong = {
    ociVersion: "1.3.0",
    process: { cwd: "relative", user: { uid: -1, gid: 0 } },
    linux: { namespaces: [{ type: "pid" }, { type: "nosuch" }] },
  };
  expect(() => checkOciSpec(wrong)).toThrow(/process\.user\.uid: .*process\.cwd: must be an absolute path/);
  expect(() => checkOciSpec(wrong)).toThrow(/linux\.namespaces\[1\]\.type: /);
  expect(() => parseOciSpec("{")).toThrow(/config\.json is not JSON/);
  expect(() => parseOciSpec("[]")).toThrow(/the document: /);
});

test("64-bit integers keep their digits", () => {
  const spec = parseOciSpec(
    '{"ociVersion":"1.3.0","process":{"cwd":"/","rlimits":[{"type":"RLIMIT_CORE","soft":9007199254740993,"hard":18446744073709551615}]}}',
  );
  const limit = spec.process?.rlimits?.[0];
  expect(limit?.soft).toBe(9007199254740993n);
  expect(limit?.hard).toBe(18446744073709551615n);
  expect(parseJsonExactly('{"a":"1234567890123456789","b":12}')).toEqual({ a: "1234567890123456789", b: 12 });
});

test("toUint64 reduces what JSON rounded up, and turns -1 into infinity", () => {
  expect(toUint64(2 ** 64)).toBe(0xffff_ffff_ffff_ffffn);
  expect(toUint64(-1)).toBe(0xffff_ffff_ffff_ffffn);
  expect(toUint64(7)).toBe(7n);
});
