/** Messages as bytes: heads, and chunks of bodies. */
import { EngineError } from "@fathom/base";

const reasons: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  206: "Partial Content",
  304: "Not Modified",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  413: "Content Too Large",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  507: "Insufficient Storage",
};

let dateText = "";
let dateSecond = 0;

/** The Date field, made once a second. */
export function dateField(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `Date: ${new Date(second * 1000).toUTCString()}\r\n`;
  }
  return dateText;
}

const fieldName = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
const lineEnd = /[\r\n]/;
const target = /^[\x21-\x7e\x80-\uffff]+$/;

/** "Name: value" with its line end. @throws invalid-argument for text that would be read as another field */
export function serialiseField(name: string, value: string): string {
  if (!fieldName.test(name))
    throw new EngineError("invalid-argument", `${JSON.stringify(name)} is no name of a header`);
  if (lineEnd.test(value)) throw new EngineError("invalid-argument", `the header ${name} has a line end in it`);
  return `${name}: ${value}\r\n`;
}

/** @param fields From `serialiseField`. @throws invalid-argument for a target that would be read as something else */
export function serialiseRequestHead(method: string, path: string, fields: string): string {
  if (!target.test(path))
    throw new EngineError("invalid-argument", `the path ${JSON.stringify(path)} has a space or a line end in it`);
  return `${method} ${path} HTTP/1.1\r\n${fields}\r\n`;
}

/** @param fields From `serialiseField`. */
export function serialiseResponseHead(status: number, fields: string): string {
  return `HTTP/1.1 ${status} ${reasons[status] ?? "Status"}\r\n${fields}\r\n`;
}

export const continueHead = "HTTP/1.1 100 Continue\r\n\r\n";

export const lastChunk = "0\r\n\r\n";

/**
 * One piece, so that a small chunk is one packet; the copy is cheaper than a system call. Empty data gives no chunk, because an empty chunk
 * would be the last one.
 */
export function encodeChunk(data: string | Uint8Array): string | Uint8Array {
  if (typeof data === "string") return `${Buffer.byteLength(data).toString(16)}\r\n${data}\r\n`;
  const size = `${data.byteLength.toString(16)}\r\n`;
  const framed = Buffer.allocUnsafe(size.length + data.byteLength + 2);
  framed.write(size, 0, "latin1");
  framed.set(data, size.length);
  framed.write("\r\n", size.length + data.byteLength, "latin1");
  return framed;
}
