import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { LineReader, readCall, readResult, type Call } from "./messages.ts";

const endpoint = {
  endpointId: "e",
  containerId: "c",
  networkId: "n",
  networkName: "front",
  names: ["db"],
  addresses: ["10.0.0.2"],
  leadsOutside: true,
};
const container = {
  containerId: "c",
  namespace: "/proc/1/ns/net",
  servers: [
    { address: "192.0.2.1", from: "host" },
    { address: "192.0.2.2", from: "container" },
  ],
  asksSingleLabels: false,
} as const;
const calls: readonly Call[] = [
  { call: "restore", state: { endpoints: [endpoint], containers: [container] } },
  { call: "set-endpoint", endpoint },
  { call: "remove-endpoint", endpointId: "e" },
  { call: "serve", container },
  { call: "release", containerId: "c" },
  { call: "end" },
  { call: "retire" },
];

test("every call is read as it was sent", () => {
  for (const call of calls) expect(readCall(JSON.stringify(call))).toEqual(call);
});

test("anything else is an error, also calls with one member wrong", () => {
  for (const text of ["", "null", "[]", "{}", '{"call":"other"}', '{"call":"serve"}'])
    expect(() => readCall(text)).toThrow();
  for (const member of Object.keys(endpoint))
    expect(() => readCall(JSON.stringify({ call: "set-endpoint", endpoint: { ...endpoint, [member]: 5 } }))).toThrow();
  for (const member of Object.keys(container))
    expect(() => readCall(JSON.stringify({ call: "serve", container: { ...container, [member]: 5 } }))).toThrow();
  expect(readResult('{"warnings":["a"]}')).toEqual({ warnings: ["a"] });
  expect(readResult('{"error":"b"}')).toEqual({ error: "b" });
  for (const text of ["{}", '{"warnings":[1]}', '{"error":1}']) expect(() => readResult(text)).toThrow();
});

test("lines are cut at the right places, however the stream arrives", () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[^\n]*$/)), fc.array(fc.integer({ min: 1, max: 9 })), (lines, sizes) => {
      const reader = new LineReader();
      const text = lines.map((line) => `${line}\n`).join("");
      const found: string[] = [];
      for (let at = 0, turn = 0; at < text.length; turn++) {
        const size = sizes[turn % Math.max(1, sizes.length)] ?? 3;
        found.push(...reader.push(text.slice(at, at + size)));
        at += size;
      }
      expect(found).toEqual(lines);
    }),
  );
});
