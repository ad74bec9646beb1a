import { expect, test } from "bun:test";
import { frameHeader, FrameSplitter } from "./stream-frames.ts";

test("a header is the stream, three zeros, and the length with its highest byte first", () => {
  expect([...frameHeader(2, 0x01020304)]).toEqual([2, 0, 0, 0, 1, 2, 3, 4]);
});

test("pieces come out in order and with their stream, however the bytes are cut", () => {
  const texts = ["one", "", "x".repeat(3000), "last"];
  const bytes = Buffer.concat(
    texts.flatMap((text, index) => [frameHeader(index % 2 === 0 ? 1 : 2, text.length), Buffer.from(text)]),
  );
  for (const size of [1, 3, 8, 9, 1000, bytes.length]) {
    const splitter = new FrameSplitter();
    const got: Record<number, string> = { 1: "", 2: "" };
    for (let at = 0; at < bytes.length; at += size)
      for (const { stream, data } of splitter.push(bytes.subarray(at, at + size)))
        got[stream] += Buffer.from(data).toString();
    expect(got).toEqual({ 1: texts[0]! + texts[2]!, 2: texts[1]! + texts[3]! });
    expect(splitter.isWhole).toBe(true);
  }
});

test("a stream that ends inside a frame is an error, and so is an unknown stream", () => {
  const splitter = new FrameSplitter();
  expect([...splitter.push(frameHeader(1, 2))]).toEqual([]);
  expect(splitter.isWhole).toBe(false);
  expect([...splitter.push(Buffer.from("a"))]).toHaveLength(1);
  expect(splitter.isWhole).toBe(false);
  const half = new FrameSplitter();
  expect([...half.push(Uint8Array.of(1, 0, 0))]).toEqual([]);
  expect(half.isWhole).toBe(false);
  expect(() => [...new FrameSplitter().push(Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 1))]).toThrow("unrecognized stream: 4");
});
