/**
 * A client of the Engine API over a unix socket or TCP. Its paths have no version, so the daemon answers with its newest version. This client reads only
 * fields that all versions have.
 */
import { EngineError, errnoOf, messageOf } from "@fathom/base";
import { encodeChunk, lastChunk, serialiseField, serialiseRequestHead, type ParsedResponse } from "@fathom/http";
import { defaultHost, parseHost, type Address, type DaemonAddress } from "./address.ts";
import { Connection } from "./connection.ts";
import { DaemonError, messageIn } from "./daemon-error.ts";
import { hijackedStream, type HijackedStream } from "./hijack.ts";

/** A list is sent as several parameters of the same name. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface RequestOptions {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent unchanged (a tar). */
  readonly stream?: AsyncIterable<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  /** When it aborts, the client closes the connection, and the call (or reading its body) rejects with "aborted". */
  readonly signal?: AbortSignal;
}

export interface ClientResponse {
  readonly status: number;
  /** The names are in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** Can be read only once. A loop that ends early closes the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

function queryString(query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    value === undefined
      ? []
      : (Array.isArray(value) ? value : [value]).map((one) => `${key}=${encodeURIComponent(String(one))}`),
  );
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

/** Limit for an answer with a JSON body. The engine's largest answers have some megabytes. */
const textLimit = 256 * 1024 * 1024;

export class Client {
  readonly host: string;
  readonly #address: Address;
  /** The connection of an earlier request that can be used again. */
  #idle: Connection | undefined;

  constructor(address: string | DaemonAddress) {
    const { host, tls }: DaemonAddress = typeof address === "string" ? { host: address } : address;
    this.host = host;
    this.#address = parseHost(host, tls);
  }

  /**
   * One request. A status of 400 or more rejects with DaemonError.
   * @throws unavailable when no daemon answers
   */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<ClientResponse> {
    const { signal } = options;
    if (signal?.aborted) throw cancelled(signal);
    const kept = this.#idle;
    this.#idle = undefined;
    if (kept?.usable) {
      kept.wake();
      try {
        return await this.#exchange(kept, method, path, options);
      } catch (error) {
        // The daemon may have closed a kept connection meanwhile. A request that may have had an effect is not sent a second time.
        if (error instanceof EngineError || method !== "GET" || signal?.aborted) throw this.#failure(error, signal);
      }
    } else kept?.close();
    try {
      return await this.#exchange(await Connection.open(this.#address), method, path, options);
    } catch (error) {
      throw this.#failure(error, signal);
    }
  }

  #failure(error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return cancelled(signal);
    return error instanceof EngineError ? error : this.#unreachable(error);
  }

  async #exchange(
    connection: Connection,
    method: string,
    path: string,
    options: RequestOptions,
  ): Promise<ClientResponse> {
    const { signal } = options;
    const abort = (): void => connection.close();
    signal?.addEventListener("abort", abort, { once: true });
    let answer: ParsedResponse;
    try {
      answer = await send(connection, method, `${path}${queryString(options.query)}`, options);
    } catch (error) {
      signal?.removeEventListener("abort", abort);
      connection.close();
      throw error;
    }
    const { head } = answer;
    const body = connection.body(answer, (reusable) => {
      signal?.removeEventListener("abort", abort);
      if (!reusable || this.#idle !== undefined) return connection.close();
      connection.rest();
      this.#idle = connection;
    });
    if (head.status >= 400) throw new DaemonError(head.status, messageIn(await textOf(body)));
    return { status: head.status, headers: head.headers, body: signal === undefined ? body : guarded(body, signal) };
  }

  /** @throws internal when the answer is not a JSON object */
  async json<T extends object>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const { body } = await this.request(method, path, options);
    return objectIn<T>(await textOf(body), method, path);
  }

  /** An empty list may be null, as Go writes it. @throws internal when the answer is not a JSON array of objects */
  async list<T extends object>(method: string, path: string, options: RequestOptions = {}): Promise<readonly T[]> {
    const { body } = await this.request(method, path, options);
    const value = parseAnswer(await textOf(body), method, path) ?? [];
    if (!Array.isArray(value) || !value.every(isObject<T>)) throw wrongAnswer(method, path, "no JSON array of objects");
    return value;
  }

  /** For answers without a body. Returns the status (204, or 304 when there was nothing to do). */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<number> {
    const { status, body } = await this.request(method, path, options);
    await textOf(body);
    return status;
  }

  /** Each object of a stream of lines (pull, load). @throws internal when a line is not a JSON object */
  async *messages<T extends object>(method: string, path: string, options: RequestOptions = {}): AsyncGenerator<T> {
    for await (const line of this.lines(method, path, options)) yield objectIn<T>(line, method, path);
  }

  /** The lines as text, for numbers that are too large for JavaScript (events). */
  async *lines(method: string, path: string, options: RequestOptions = {}): AsyncGenerator<string> {
    const { body } = await this.request(method, path, options);
    yield* lines(body);
  }

  /** A bidirectional byte stream (attach, exec start). */
  async hijack(
    path: string,
    options: { readonly query?: Query; readonly body?: unknown } = {},
  ): Promise<HijackedStream> {
    let connection: Connection;
    let answer: ParsedResponse;
    try {
      connection = await Connection.open(this.#address);
      answer = await send(connection, "POST", `${path}${queryString(options.query)}`, {
        body: options.body,
        headers: { Connection: "Upgrade", Upgrade: "tcp" },
      });
    } catch (error) {
      throw this.#failure(error, undefined);
    }
    const { head } = answer;
    if (head.status === 101 || head.status === 200) return hijackedStream(connection, head);
    throw new DaemonError(head.status, messageIn(await textOf(connection.body(answer, () => connection.close()))));
  }

  /** Closes the kept connection. A program that is about to exit need not call this. */
  close(): void {
    this.#idle?.close();
    this.#idle = undefined;
  }

  #unreachable(error: unknown): EngineError {
    return new EngineError("unavailable", unreachableText(this.host, error), { cause: error });
  }
}

/** What is wrong with the way to the daemon, and what the user can do. */
function unreachableText(host: string, error: unknown): string {
  const errno = errnoOf(error);
  if (errno === "EACCES" || errno === "EPERM")
    return `permission denied at ${host}: only root and the socket's group may use the daemon ("ls -l" shows them)`;
  // Not the system but TLS says no: for example, an unknown authority has signed the daemon's certificate.
  if (errno === undefined && host.startsWith("tcp://"))
    return `cannot connect to the fathom daemon at ${host}: ${messageOf(error)}`;
  const flag = host === defaultHost ? "" : ` -H ${host}`;
  return `cannot connect to the fathom daemon at ${host}: is it running? "fathom daemon${flag}" starts one`;
}

function cancelled(signal: AbortSignal): EngineError {
  return new EngineError("aborted", "the request was cancelled", { cause: signal.reason });
}

/** Sends a request and reads the head of the answer. It also reads an early answer of a daemon that refuses the upload. */
async function send(
  connection: Connection,
  method: string,
  target: string,
  options: RequestOptions,
): Promise<ParsedResponse> {
  let fields = serialiseField("Host", "fathom");
  for (const [name, value] of Object.entries(options.headers ?? {})) fields += serialiseField(name, value);
  if (options.stream !== undefined) {
    const answer = connection.readHead(method);
    // The code below looks at this promise. Until then, a rejection must not end the process.
    answer.catch(() => undefined);
    fields += "Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n";
    await connection.write(serialiseRequestHead(method, target, fields));
    await upload(connection, options.stream, answer);
    return answer;
  }
  const body = options.body === undefined ? "" : JSON.stringify(options.body);
  const type = options.body === undefined ? "" : "Content-Type: application/json\r\n";
  const length = body === "" && method !== "POST" ? "" : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  await connection.write(`${serialiseRequestHead(method, target, `${fields}${type}${length}`)}${body}`);
  return connection.readHead(method);
}

/** The source of an upload failed, and not the connection. */
class SourceFailure extends Error {}

async function* ownFailures(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* stream;
  } catch (error) {
    throw new SourceFailure("the source failed", { cause: error });
  }
}

async function upload(
  connection: Connection,
  stream: AsyncIterable<Uint8Array>,
  answer: Promise<ParsedResponse>,
): Promise<void> {
  let answered = false;
  const refused = answer.then(
    ({ head }) => void (answered = head.status >= 400),
    () => void (answered = true),
  );
  try {
    for await (const data of ownFailures(stream)) {
      if (answered) return;
      if (data.length === 0) continue;
      await Promise.race([
        refused.then(() => (answered ? undefined : new Promise<never>(() => undefined))),
        connection.write(encodeChunk(data)),
      ]);
    }
    if (!answered) await connection.write(lastChunk);
  } catch (error) {
    // The daemon waits for the rest, so it will not answer.
    if (error instanceof SourceFailure) throw error.cause;
    // A daemon that answers and closes the connection breaks the upload; its answer says why.
    if (
      !(await answer.then(
        () => true,
        () => false,
      ))
    )
      throw error;
  }
}

async function* guarded(body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw signal.aborted ? cancelled(signal) : error;
  }
  if (signal.aborted) throw cancelled(signal);
}

/** The daemon chooses the members: this function does not check that the object has the members of T. */
function isObject<T extends object>(value: unknown): value is T {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function objectIn<T extends object>(text: string, method: string, path: string): T {
  const value = parseAnswer(text, method, path);
  if (!isObject<T>(value)) throw wrongAnswer(method, path, "no JSON object");
  return value;
}

function parseAnswer(text: string, method: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw wrongAnswer(method, path, "no JSON", error);
  }
}

function wrongAnswer(method: string, path: string, what: string, cause?: unknown): EngineError {
  return new EngineError("internal", `the daemon's answer to ${method} ${path} is ${what}`, { cause });
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > textLimit) throw new EngineError("resource-exhausted", "the daemon's answer is too large");
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The lines of a byte stream that are not empty. */
export async function* lines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    let end = rest.indexOf("\n");
    while (end >= 0) {
      const line = rest.slice(0, end).trim();
      rest = rest.slice(end + 1);
      if (line !== "") yield line;
      end = rest.indexOf("\n");
    }
  }
  if (rest.trim() !== "") yield rest.trim();
}
