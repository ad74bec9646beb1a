/** What a handler gets: the request in Docker's terms, and functions to answer. */
import { EngineError, type Logger } from "@fathom/base";
import type { Exchange, Response } from "@fathom/http";
import { parseJsonText } from "@fathom/spec";
import { errorLine } from "./errors.ts";
import type { Query } from "./query.ts";

/** A JSON body: a create request with a large environment has some kilobytes. */
const jsonBodyLimit = 8 * 1024 * 1024;

export interface ApiRequest {
  readonly logger: Logger;
  /** The number after "1.". */
  readonly version: number;
  /** The name in the path. */
  readonly name: string;
  readonly query: Query;
  readonly exchange: Exchange;
  readonly response: Response;
}

export type Handler = (request: ApiRequest) => Promise<void> | void;

function headerOf(request: ApiRequest, name: string): string {
  return request.exchange.head.headers.get(name) ?? "";
}

/** @throws invalid-argument when there is a body and its type is not JSON */
function checkJsonType(request: ApiRequest): void {
  const type = headerOf(request, "content-type");
  if (type === "" && request.exchange.body.framing === "none") return;
  const plain = type.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (plain === "application/json") return;
  if (plain === "")
    throw new EngineError("invalid-argument", `malformed Content-Type header (${type}): mime: no media type`);
  throw new EngineError("invalid-argument", `unsupported Content-Type header (${type}): must be 'application/json'`);
}

/** A required body. @throws invalid-argument */
export async function requiredJson(request: ApiRequest): Promise<unknown> {
  checkJsonType(request);
  return parseJsonText(await request.exchange.body.text(jsonBodyLimit));
}

/** An optional body: null when there is none. @throws invalid-argument */
export async function optionalJson(request: ApiRequest): Promise<unknown> {
  checkJsonType(request);
  if (request.exchange.body.framing === "none") return null;
  const text = await request.exchange.body.text(jsonBodyLimit);
  if (text.trim() === "") throw new EngineError("invalid-argument", "invalid JSON: got EOF while reading request body");
  return parseJsonText(text);
}

/** For a connection that is taken over: as in Docker, a body with a length is no input of the process, and what follows it is. */
export async function dropBody({ exchange: { body } }: ApiRequest): Promise<void> {
  if (body.framing === "length") await body.text(jsonBodyLimit);
}

/**
 * A stream of values, one per line, each sent at once. An error before the first value becomes the answer's status; a later one becomes the
 * last line.
 * With `start` false, the head is sent only with the first value.
 */
export async function streamLines<T>(
  request: ApiRequest,
  source: AsyncIterable<T>,
  options: {
    readonly contentType: string;
    readonly startAtOnce: boolean;
    readonly format: (value: T) => string | undefined;
  },
): Promise<void> {
  const { response } = request;
  if (options.startAtOnce) response.start(200, options.contentType);
  try {
    for await (const value of source) {
      const line = options.format(value);
      if (line === undefined) continue;
      if (!response.started) response.start(200, options.contentType);
      const wait = response.write(line);
      if (wait !== undefined) await wait;
    }
    if (!response.started) response.start(200, options.contentType);
  } catch (error) {
    if (!response.started) throw error;
    if (request.exchange.signal.aborted) return response.abort();
    request.logger.debug("stream failed after its start", { error, path: request.exchange.head.target });
    await response.write(`${JSON.stringify(errorLine(error))}\r\n`);
  }
  response.end();
}

/** A stream of bytes. An error after the first bytes breaks the connection, so that the client does not take a part for the whole. */
export async function streamBytes(
  request: ApiRequest,
  source: AsyncIterable<Uint8Array>,
  options: { readonly contentType: string; readonly startAtOnce: boolean },
): Promise<void> {
  const { response } = request;
  if (options.startAtOnce) response.start(200, options.contentType);
  try {
    for await (const bytes of source) {
      if (!response.started) response.start(200, options.contentType);
      const wait = response.write(bytes);
      if (wait !== undefined) await wait;
    }
    if (!response.started) response.start(200, options.contentType);
  } catch (error) {
    if (!response.started) throw error;
    if (!request.exchange.signal.aborted)
      request.logger.warn("stream broken off", { error, path: request.exchange.head.target });
    return response.abort();
  }
  response.end();
}
