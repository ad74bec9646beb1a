/**
 * A client of the Engine API over a unix socket or TCP: plain requests and streams by `fetch`, hijacked streams by a raw socket.
 * Paths are unversioned: the daemon answers with its newest version, and this client reads only what is in all of them.
 */
import { EngineError, type ErrorCode } from "@fathom/base";
import { hijack, type HijackedStream } from "./hijack.ts";

/** An error that the daemon answered. `status` is the HTTP status. */
export class DaemonError extends EngineError {
  readonly status: number;
  constructor(status: number, message: string) {
    super(codeOf(status), message);
    this.status = status;
  }
}

function codeOf(status: number): ErrorCode {
  switch (status) {
    case 304:
      return "not-modified";
    case 400:
      return "invalid-argument";
    case 401:
      return "unauthenticated";
    case 403:
      return "forbidden";
    case 404:
      return "not-found";
    case 409:
      return "conflict";
    case 501:
      return "not-implemented";
    case 503:
      return "unavailable";
    default:
      return "internal";
  }
}

export type Address =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number };

/** "unix:///path" or "tcp://host:port". @throws invalid-argument */
export function parseHost(host: string): Address {
  if (host.startsWith("unix://")) return { kind: "unix", path: host.slice("unix://".length) };
  const match = /^(?:tcp|http):\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?\/?$/.exec(host);
  if (match === null)
    throw new EngineError(
      "invalid-argument",
      `unable to parse docker host \`${host}\`: use unix:///path or tcp://host:port`,
    );
  return { kind: "tcp", hostname: match[1]!, port: Number(match[2] ?? 2375) };
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface RequestOptions {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is (a tar). */
  readonly stream?: ReadableStream<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

function queryString(query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${encodeURIComponent(String(value))}`],
  );
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

export class Client {
  readonly host: string;
  readonly #address: Address;

  constructor(host: string) {
    this.host = host;
    this.#address = parseHost(host);
  }

  /**
   * One request. A status of 400 or more rejects with DaemonError.
   * @throws unavailable when no daemon answers
   */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const address = this.#address;
    const base = address.kind === "unix" ? "http://fathom" : `http://${address.hostname}:${address.port}`;
    const body = options.stream ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    let response: Response;
    try {
      response = await fetch(`${base}${path}${queryString(options.query)}`, {
        method,
        redirect: "manual",
        headers: {
          ...(options.body === undefined ? {} : { "Content-Type": "application/json" }),
          ...(options.stream === undefined ? {} : { "Content-Type": "application/x-tar" }),
          ...options.headers,
        },
        ...(body === undefined ? {} : { body }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        ...(address.kind === "unix" ? { unix: address.path } : {}),
        // The daemon may take its time (wait, events): no timeout of the client's.
        timeout: false,
      } as RequestInit);
    } catch (error) {
      if (options.signal?.aborted) throw new EngineError("aborted", "the request was cancelled", { cause: error });
      throw this.#unreachable(error);
    }
    if (response.status >= 400) throw new DaemonError(response.status, await errorMessage(response));
    return response;
  }

  async json<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const response = await this.request(method, path, options);
    return (await response.json()) as T;
  }

  /** For answers without a body. Gives the status (204, or 304 when there was nothing to do). */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<number> {
    const response = await this.request(method, path, options);
    await response.arrayBuffer();
    return response.status;
  }

  /** Each JSON value of a stream of lines (pull, load, events). */
  async *messages<T>(method: string, path: string, options: RequestOptions = {}): AsyncGenerator<T> {
    const response = await this.request(method, path, options);
    if (response.body !== null) for await (const line of lines(response.body)) yield JSON.parse(line) as T;
  }

  /** A bidirectional byte stream (attach, exec start). */
  hijack(path: string, options: { readonly query?: Query; readonly body?: unknown } = {}): Promise<HijackedStream> {
    return hijack(
      this.#address,
      `${path}${queryString(options.query)}`,
      options.body === undefined ? "" : JSON.stringify(options.body),
      (status, text) => new DaemonError(status, messageIn(text)),
      (error) => this.#unreachable(error),
    );
  }

  #unreachable(error: unknown): EngineError {
    return new EngineError(
      "unavailable",
      `Cannot connect to the Docker daemon at ${this.host}. Is the docker daemon running?`,
      { cause: error },
    );
  }
}

function messageIn(text: string): string {
  try {
    const parsed: unknown = JSON.parse(text);
    if (parsed !== null && typeof parsed === "object" && "message" in parsed) return String(parsed.message);
  } catch {
    // A proxy or an old daemon may answer in plain text.
  }
  return text.trim() === "" ? "the daemon gave no reason" : text.trim();
}

async function errorMessage(response: Response): Promise<string> {
  return messageIn(await response.text());
}

/** Non-empty lines of a byte stream. */
export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
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
