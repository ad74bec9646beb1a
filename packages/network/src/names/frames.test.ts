import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { frame, FrameReader } from "./frames.ts";

test("messages are cut at the right places, however the stream arrives", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 })),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
      (messages, sizes) => {
        const reader = new FrameReader();
        const stream = Buffer.concat(messages.map(frame));
        const found: Uint8Array[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = sizes[turn % sizes.length]!;
          found.push(...(reader.push(stream.subarray(at, at + size)) ?? []));
          at += size;
        }
        expect(found.map((message) => Buffer.from(message))).toEqual(messages.map((message) => Buffer.from(message)));
      },
    ),
  );
});

test("a message that is too long is noticed by its length", () => {
  const reader = new FrameReader(300);
  expect(reader.push(frame(new Uint8Array(300)))).toHaveLength(1);
  expect(reader.push(Uint8Array.of(1, 45))).toBeUndefined();
});
