import { expect, test } from "bun:test";
import { frame, MessageParser, messageTypes, parseFailure } from "./protocol.ts";
import { WireWriter } from "../plan/wire.ts";

test("messages are complete, however the stream is cut", () => {
  const payloads = [new Uint8Array(), Uint8Array.of(1, 2, 3), new Uint8Array(5000).fill(7)];
  const stream = Buffer.concat(payloads.map((payload, index) => frame(64 + index, index, payload)));
  for (const size of [1, 3, 16, 17, 1000, stream.length]) {
    const parser = new MessageParser();
    const got = [];
    for (let at = 0; at < stream.length; at += size) got.push(...parser.push(stream.subarray(at, at + size)));
    expect(got.map(({ type, id }) => [type, id])).toEqual([
      [64, 0],
      [65, 1],
      [66, 2],
    ]);
    expect(got.map(({ payload }) => Buffer.from(payload))).toEqual(payloads.map((payload) => Buffer.from(payload)));
  }
});

test("bytes that are no message are rejected", () => {
  expect(() => [...new MessageParser().push(Buffer.from("HTTP/1.1 400 Bad Request"))]).toThrow();
  const huge = Buffer.from(frame(1, 1, new Uint8Array()));
  huge.writeUInt32LE(0xffffffff, 4);
  expect(() => [...new MessageParser().push(huge)]).toThrow();
});

test("a failure names operation, errno, call and detail; a failure without an operation has none in the result", () => {
  const payload = new WireWriter().u32(3).u32(2).text("openat2").text("/x").finish();
  expect(parseFailure(payload)).toMatchObject({ operation: 3, errno: 2, call: "openat2", detail: "/x" });
  expect(
    parseFailure(new WireWriter().u32(0xffffffff).u32(1).text("clone3").text("").finish()).operation,
  ).toBeUndefined();
  expect(() => parseFailure(Uint8Array.of(1, 0, 0, 0))).toThrow();
  expect(messageTypes.error).toBe(65);
});
