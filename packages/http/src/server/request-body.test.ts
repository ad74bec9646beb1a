import { describe, expect, test } from "bun:test";
import type { ByteSource } from "../message/body.ts";
import { RequestBody, type BodyLimits } from "./request-body.ts";
import { ByteBudget } from "./byte-budget.ts";

function limits(bytes = 1 << 20, timeoutMs = 10_000): BodyLimits {
  return { budget: new ByteBudget(bytes), timeoutMs };
}

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
    interrupt: () => undefined,
    rest: () => left.toString("latin1"),
  };
}

describe.each([1, 2, 3, 7, 1000])("RequestBody in pieces of %d", (size) => {
  test("by length, and not one byte more", async () => {
    const bytes = source("hello worldGET /", size);
    const body = new RequestBody({ kind: "length", bytes: 11 }, bytes, limits());
    expect(await body.text(100)).toBe("hello world");
    expect(body.ended).toBe(true);
    let rest = "";
    for (let more = await bytes.read(); more !== undefined; more = await bytes.read()) rest += more.toString();
    expect(rest).toBe("GET /");
  });

  test("chunked with extensions and trailers", async () => {
    const bytes = source("5;a=b\r\nhello\r\n6 \r\n world\r\n0\r\nX: y\r\n\r\nGET /", size);
    const body = new RequestBody({ kind: "chunked" }, bytes, limits());
    expect(await body.text(100)).toBe("hello world");
    let rest = "";
    for (let more = await bytes.read(); more !== undefined; more = await bytes.read()) rest += more.toString();
    expect(rest).toBe("GET /");
  });

  test.each(["x\r\n", "-1\r\n", "5\r\nhelloxx\r\n", "123456789\r\n", "\r\n"])("rejects the chunk %j", async (text) => {
    const body = new RequestBody({ kind: "chunked" }, source(text, size), limits());
    await expect(body.text(1000)).rejects.toThrow("malformed chunked body");
  });

  test.each(["", "5", "5\r\nhel", "5\r\nhello\r\n0\r\n"])(
    "the end in the middle of a body is an error: %j",
    async (text) => {
      const body = new RequestBody({ kind: "chunked" }, source(text, size), limits());
      await expect(body.text(1000)).rejects.toThrow("within a request body");
    },
  );
});

test("text has a limit", async () => {
  const body = new RequestBody({ kind: "length", bytes: 10 }, source("0123456789", 3), limits());
  await expect(body.text(5)).rejects.toThrow("larger than the limit of 5 bytes");
});

test("text has a limit when the length is not known before", async () => {
  const body = new RequestBody({ kind: "chunked" }, source("3\r\n012\r\n3\r\n345\r\n0\r\n\r\n", 1), limits());
  await expect(body.text(5)).rejects.toThrow("larger than the limit of 5 bytes");
});

test("a size line without an end is rejected before it fills memory", async () => {
  const body = new RequestBody({ kind: "chunked" }, source("5;".padEnd(100_000, "x"), 1000), limits());
  await expect(body.read()).rejects.toThrow("malformed chunked body");
});

test("skip reads the rest up to its limit", async () => {
  expect(await new RequestBody({ kind: "length", bytes: 10 }, source("0123456789", 3), limits()).skip(100)).toBe(true);
  expect(await new RequestBody({ kind: "length", bytes: 10 }, source("0123456789", 3), limits()).skip(4)).toBe(false);
});

/** Returns its bytes, then nothing more. */
function unfinished(first: Buffer): ByteSource {
  const pieces = [first];
  let fail: ((reason: Error) => void) | undefined;
  return {
    read: async () => pieces.shift() ?? new Promise((_, reject) => (fail = reject)),
    unread: (rest) => void pieces.unshift(rest),
    interrupt: (reason) => fail?.(reason),
  };
}

const large = 100_000;
const length = { kind: "length", bytes: large } as const;

test("unfinished bodies together hold no more than the budget; others wait for room, and small ones do not wait", async () => {
  const shared = limits(150_000, 50);
  const first = new RequestBody(length, unfinished(Buffer.alloc(10)), shared);
  const reading = first.text(large);
  const second = new RequestBody(length, source("x".repeat(large), 1000), shared);
  const waiting = second.text(large);
  const small = new RequestBody({ kind: "length", bytes: 5 }, source("small", 2), shared).text(100);
  const [late, crowded] = await Promise.allSettled([reading, waiting]);
  expect(late.status === "rejected" && String(late.reason)).toContain("did not come in time");
  expect(await small).toBe("small");
  expect(crowded.status === "rejected" && String(crowded.reason)).toContain("too many large requests are under way");
  first.release();
  second.release();
  expect(shared.budget.held).toBe(0);
});

test("a body that waited for room continues when there is room", async () => {
  const shared = limits(150_000);
  const first = new RequestBody(length, source("x".repeat(large), 1000), shared);
  expect((await first.text(large)).length).toBe(large);
  const second = new RequestBody(
    { kind: "chunked" },
    source(`186a0\r\n${"y".repeat(large)}\r\n0\r\n\r\n`, 777),
    shared,
  );
  let done = false;
  const waiting = second.text(large).finally(() => (done = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(done).toBe(false);
  first.release();
  expect(await waiting).toBe("y".repeat(large));
  second.release();
  expect(shared.budget.held).toBe(0);
});

test("a length above the limit is rejected before anything is read", async () => {
  const body = new RequestBody({ kind: "length", bytes: 2 ** 40 }, unfinished(Buffer.alloc(0)), limits());
  await expect(body.text(100)).rejects.toThrow("larger than the limit of 100 bytes");
});
