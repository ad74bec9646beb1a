import { describe, expect, test } from "bun:test";
import { bodyFraming, parseHead } from "./head.ts";

const head = (...lines: string[]): ReturnType<typeof parseHead> => parseHead(lines.join("\r\n"));

describe("parseHead", () => {
  test("a request", () => {
    const parsed = head("GET /v1.47/info?a=b HTTP/1.1", "Host: d", "X-Thing:  a b ", "x-thing: c");
    expect(parsed.method).toBe("GET");
    expect(parsed.target).toBe("/v1.47/info?a=b");
    expect(parsed.minor).toBe(1);
    expect(parsed.headers.get("x-thing")).toBe("a b, c");
  });

  test.each([
    "GET / HTTP/2.0",
    "GET /",
    "get / HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /\u0000 HTTP/1.1",
    "",
  ])("refuses %j", (line) => expect(() => head(line)).toThrow("malformed HTTP request line"));

  test.each(["X", "X y: z", " folded: x", ": x", "X : y", "X: a\u0000b", "X: a\nY: b"])(
    "refuses the field %j",
    (line) => expect(() => head("GET / HTTP/1.1", line)).toThrow("malformed HTTP header field"),
  );

  test("refuses two lengths that differ, and very many fields", () => {
    expect(() => head("GET / HTTP/1.1", "Content-Length: 1", "Content-Length: 2")).toThrow("conflicting");
    expect(() => head("GET / HTTP/1.1", ...Array.from({ length: 300 }, (_, index) => `X-${index}: y`))).toThrow(
      "header fields",
    );
  });
});

describe("bodyFraming", () => {
  const framing = (...fields: string[]): unknown => bodyFraming(head("POST / HTTP/1.1", ...fields));

  test("none, length, chunked", () => {
    expect(framing()).toEqual({ kind: "none" });
    expect(framing("Content-Length: 0")).toEqual({ kind: "none" });
    expect(framing("Content-Length: 12")).toEqual({ kind: "length", bytes: 12 });
    expect(framing("Transfer-Encoding: Chunked")).toEqual({ kind: "chunked" });
  });

  test("refuses what two programs could read differently", () => {
    expect(() => framing("Content-Length: 1", "Transfer-Encoding: chunked")).toThrow("both");
    expect(() => framing("Transfer-Encoding: gzip, chunked")).toThrow("unsupported transfer encoding");
    for (const length of ["-1", "+1", "1,2", "0x1", "1 2", "99999999999999999999"])
      expect(() => framing(`Content-Length: ${length}`)).toThrow("malformed Content-Length");
  });
});
