import { describe, expect, test } from "bun:test";
import { RequestBody, type ByteSource } from "./body.ts";

/** A source that gives its text in pieces of `size` bytes. */
function source(text: string, size: number): ByteSource & { rest(): string } {
  let left = Buffer.from(text, "latin1");
  return {
    async read() {
      if (left.length === 0) return undefined;
      const taken = left.subarray(0, size);
      left = left.subarray(size);
      return taken;
    },
    unread(rest) {
      left = Buffer.concat([rest, left]);
    },
    rest: () => left.toString("latin1"),
  };
}

describe.each([1, 2, 3, 7, 1000])("RequestBody in pieces of %d", (size) => {
  test("by length, and not one byte more", async () => {
    const bytes = source("hello worldGET /", size);
    const body = new RequestBody({ kind: "length", bytes: 11 }, bytes, undefined);
    expect(await body.text(100)).toBe("hello world");
    expect(body.ended).toBe(true);
    let rest = "";
    for (let more = await bytes.read(); more !== undefined; more = await bytes.read()) rest += more.toString();
    expect(rest).toBe("GET /");
  });

  test("chunked with extensions and trailers", async () => {
    const bytes = source("5;a=b\r\nhello\r\n6 \r\n world\r\n0\r\nX: y\r\n\r\nGET /", size);
    const body = new RequestBody({ kind: "chunked" }, bytes, undefined);
    expect(await body.text(100)).toBe("hello world");
    let rest = "";
    for (let more = await bytes.read(); more !== undefined; more = await bytes.read()) rest += more.toString();
    expect(rest).toBe("GET /");
  });

  test.each(["x\r\n", "-1\r\n", "5\r\nhelloxx\r\n", "123456789\r\n", "\r\n"])("refuses the chunk %j", async (text) => {
    const body = new RequestBody({ kind: "chunked" }, source(text, size), undefined);
    await expect(body.text(1000)).rejects.toThrow("malformed chunked body");
  });

  test.each(["", "5", "5\r\nhel", "5\r\nhello\r\n0\r\n"])("the end within a body is an error: %j", async (text) => {
    const body = new RequestBody({ kind: "chunked" }, source(text, size), undefined);
    await expect(body.text(1000)).rejects.toThrow("within a request body");
  });
});

test("text has a limit", async () => {
  const body = new RequestBody({ kind: "length", bytes: 10 }, source("0123456789", 3), undefined);
  await expect(body.text(5)).rejects.toThrow("larger than the limit of 5 bytes");
});

test("a size line without an end is refused before it fills memory", async () => {
  const body = new RequestBody({ kind: "chunked" }, source("5;".padEnd(100_000, "x"), 1000), undefined);
  await expect(body.read()).rejects.toThrow("malformed chunked body");
});

test("skip reads the rest up to its limit", async () => {
  expect(await new RequestBody({ kind: "length", bytes: 10 }, source("0123456789", 3), undefined).skip(100)).toBe(true);
  expect(await new RequestBody({ kind: "length", bytes: 10 }, source("0123456789", 3), undefined).skip(4)).toBe(false);
});
