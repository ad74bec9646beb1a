import { describe, expect, test } from "bun:test";
import type { BodyFraming } from "./framing.ts";
import type { RequestHead } from "./head.ts";
import { InputBuffer } from "./input-buffer.ts";
import { RequestParser, ResponseParser, type ParsedRequest, type ParsedResponse } from "./parser.ts";

function request(...lines: string[]): ParsedRequest {
  const input = new InputBuffer();
  input.append(Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"));
  const parsed = new RequestParser().next(input);
  if (parsed === undefined) throw new Error("no head");
  return parsed;
}

const head = (...lines: string[]): RequestHead => request(...lines).head;

describe("the head of a request", () => {
  test("method, target, fields", () => {
    const parsed = head("GET /v1.47/info?a=b HTTP/1.1", "Host: d", "X-Thing:  a b ", "x-thing: c");
    expect(parsed.method).toBe("GET");
    expect(parsed.target).toBe("/v1.47/info?a=b");
    expect(parsed.minor).toBe(1);
    expect(parsed.headers.get("x-thing")).toBe("a b, c");
  });

  test("a target in absolute form gives path and host", () => {
    const parsed = head("GET http://real:2375/info?a HTTP/1.1", "Host: other");
    expect([parsed.target, parsed.headers.get("host")]).toEqual(["/info?a", "real:2375"]);
    expect(head("GET http://real HTTP/1.1", "Host: other").target).toBe("/");
    expect(head("GET http://real?a HTTP/1.1", "Host: other").target).toBe("/?a");
  });

  test.each([
    "GET / HTTP/2.0",
    "GET /",
    "get / HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /\u0000 HTTP/1.1",
  ])("refuses %j", (line) => expect(() => head(line)).toThrow("malformed HTTP request line"));

  test.each([
    "X",
    "X y: z",
    " folded: x",
    ": x",
    "X : y",
    "X: a\u0000b",
    "X: a\nY: b",
    "X:\n a",
    "X: a\r",
    "X: a\u000b",
    "X:\u000c a",
  ])("rejects the field %j", (line) =>
    expect(() => head("GET / HTTP/1.1", line, "Host: d")).toThrow("malformed HTTP header field"),
  );

  test("rejects two lengths that differ, and very many fields", () => {
    expect(() => head("GET / HTTP/1.1", "Content-Length: 1", "Content-Length: 2")).toThrow("conflicting");
    expect(() => head("GET / HTTP/1.1", ...Array.from({ length: 300 }, (_, index) => `X-${index}: y`))).toThrow(
      "header fields",
    );
  });
});

describe("the framing of a request", () => {
  const framing = (...fields: string[]): BodyFraming => request("POST / HTTP/1.1", "Host: d", ...fields).framing;

  test("none, length, chunked", () => {
    expect(framing()).toEqual({ kind: "none" });
    expect(framing("Content-Length: 0")).toEqual({ kind: "none" });
    expect(framing("Content-Length: 12")).toEqual({ kind: "length", bytes: 12 });
    expect(framing("Transfer-Encoding: Chunked")).toEqual({ kind: "chunked" });
  });

  test("rejects what two programs could read differently", () => {
    expect(() => framing("Content-Length: 1", "Transfer-Encoding: chunked")).toThrow("both");
    expect(() => framing("Transfer-Encoding: gzip, chunked")).toThrow("unsupported transfer encoding");
    for (const length of ["-1", "+1", "1,2", "0x1", "1 2", "99999999999999999999"])
      expect(() => framing(`Content-Length: ${length}`)).toThrow("malformed Content-Length");
  });
});

describe("an answer", () => {
  function answer(text: string, method = "GET"): ParsedResponse | undefined {
    const input = new InputBuffer();
    input.append(Buffer.from(text, "latin1"));
    return new ResponseParser().next(input, method);
  }

  test("messages before it are left out", () => {
    const parsed = answer(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 200\r\n\r\n",
    );
    expect(parsed?.head.status).toBe(200);
    expect(parsed?.head.headers.size).toBe(0);
  });

  test.each<[string, string, BodyFraming["kind"]]>([
    ["GET", "HTTP/1.1 200 OK\r\n\r\n", "until-end"],
    ["GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "length"],
    ["GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked"],
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "none"],
    ["HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "none"],
    ["GET", "HTTP/1.1 204 No Content\r\n\r\n", "none"],
    ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "none"],
    ["POST", "HTTP/1.1 101 UPGRADED\r\n\r\n", "none"],
  ])("to %s: the body of %j is %s", (method, text, kind) => expect(answer(text, method)?.framing.kind).toBe(kind));

  test.each([
    "SSH-2.0\r\n",
    "HTTP/2.0 200 OK\r\n",
    "HTTP/1.1 20 OK\r\n",
    "HTTP/1.1 2000 OK\r\n",
    "HTTP/1.1 200 O\u0000K\r\n",
  ])("rejects %j at its first line", (text) => expect(() => answer(text)).toThrow("malformed HTTP status line"));

  test("its head has a limit of its own", () =>
    expect(() => answer(`HTTP/1.1 200 OK\r\nX: ${"y".repeat(70_000)}`)).toThrow("the answer's head is too large"));
});
