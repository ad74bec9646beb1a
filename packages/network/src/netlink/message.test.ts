import { describe, expect, test } from "bun:test";
import { decodeAnswer } from "./answer.ts";
import {
  decodeAttributes,
  decodeMessages,
  encodeMessages,
  listAttributes,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  PayloadWriter,
  readText,
  readU32,
  readU32be,
} from "./message.ts";
import { NLM_F_ACK, NLMSG_ERROR } from "@fathom/sys";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("payloads", () => {
  test("numbers in both orders, padded attributes, nests", () => {
    const payload = new PayloadWriter()
      .u8(1)
      .u8(2)
      .u16(0x0304)
      .u32(0x05060708)
      .u16be(0x0304)
      .u16(0)
      .attributeText(3, "ab")
      .attributeU8(4, 9)
      .attributeU32be(5, 1)
      .nest(6, (inner) => inner.attributeU32(7, 2))
      .nest(8, () => undefined, false)
      .finish();
    expect(hex(payload)).toBe(
      "0102040308070605" +
        "03040000" +
        "0700030061620000" +
        "0500040009000000" +
        "0800050000000001" +
        "0c000680" +
        "0800070002000000" +
        "04000800",
    );
  });

  test("payloads grow beyond their first size", () => {
    const large = new Uint8Array(5000).fill(7);
    const payload = new PayloadWriter().u32(1).attribute(2, large).u32be(3).finish();
    expect(payload.length).toBe(4 + 4 + 5000 + 4);
    expect(payload.subarray(8, 5008)).toEqual(large);
    expect(hex(payload.subarray(5008))).toBe("00000003");
  });

  test("an attribute over 64 KiB is rejected, plain and nested", () => {
    expect(() => new PayloadWriter().attribute(1, new Uint8Array(0xffff))).toThrow("over the limit");
    expect(() =>
      new PayloadWriter().nest(1, (inner) => {
        for (let index = 0; index < 9000; index++) inner.attributeU32(1, index);
      }),
    ).toThrow("over the limit");
  });
});

describe("messages", () => {
  test("round trip, numbered and aligned", () => {
    const bytes = encodeMessages(
      [
        { type: 16, flags: NLM_F_ACK, payload: Uint8Array.of(1, 2, 3) },
        { type: 17, flags: 0, payload: new Uint8Array() },
      ],
      41,
    );
    expect(bytes.length).toBe(36);
    expect(decodeMessages(bytes)).toEqual([
      { type: 16, flags: NLM_F_ACK | 1, sequence: 41, payload: Uint8Array.of(1, 2, 3) },
      { type: 17, flags: 1, sequence: 42, payload: new Uint8Array() },
    ]);
  });

  test("a length that does not fit is an error", () => {
    const bytes = encodeMessages([{ type: 16, flags: 0, payload: new Uint8Array(4) }], 1);
    bytes[0] = 200;
    expect(() => decodeMessages(bytes)).toThrow("does not fit");
    bytes[0] = 3;
    expect(() => decodeMessages(bytes)).toThrow("does not fit");
  });

  test("broken attributes end the list", () => {
    const payload = new PayloadWriter().attributeU32(1, 5).attributeText(2, "x").finish();
    expect(listAttributes(payload).map(([type]) => type)).toEqual([1, 2]);
    payload[8] = 200;
    expect(listAttributes(payload).map(([type]) => type)).toEqual([1]);
    expect(readU32(decodeAttributes(payload).get(1))).toBe(5);
  });

  test("values that are too short or missing are undefined", () => {
    expect(readU32(undefined)).toBeUndefined();
    expect(readU32be(Uint8Array.of(1, 2))).toBeUndefined();
    expect(readU32be(Uint8Array.of(0, 0, 1, 0))).toBe(256);
    expect(readText(Uint8Array.of(97, 98))).toBe("ab");
    expect(readText(Uint8Array.of(97, 0, 98))).toBe("a");
  });
});

describe("answers", () => {
  const request = new Uint8Array(16);
  new DataView(request.buffer).setUint32(0, 24, true);
  const answer = (code: number, flags: number, tail: Uint8Array) => {
    const writer = new PayloadWriter().u32(code >>> 0).bytes(request);
    return decodeAnswer({ type: NLMSG_ERROR, flags, sequence: 9, payload: writer.bytes(tail).finish() });
  };
  const words = new PayloadWriter().attributeText(1, "Device is busy").finish();

  test("an acknowledgement", () => {
    expect(answer(0, 0, new Uint8Array())).toEqual({ errno: 0, sequence: 9, text: undefined });
  });
  test("an error with the kernel's words, the request capped or repeated", () => {
    expect(answer(-16, NLM_F_CAPPED | NLM_F_ACK_TLVS, words)).toEqual({
      errno: 16,
      sequence: 9,
      text: "Device is busy",
    });
    const repeated = new PayloadWriter().bytes(new Uint8Array(8)).bytes(words).finish();
    expect(answer(-16, NLM_F_ACK_TLVS, repeated)?.text).toBe("Device is busy");
  });
  test("a truncated answer is an input/output error; other messages are no answers", () => {
    expect(decodeAnswer({ type: NLMSG_ERROR, flags: 0, sequence: 1, payload: new Uint8Array(4) })?.errno).toBe(5);
    expect(decodeAnswer({ type: 16, flags: 0, sequence: 1, payload: new Uint8Array(32) })).toBeUndefined();
  });
});
