/**
 * One HTTP exchange over the runtime's fetch: TLS files and proxy by host, no redirects, no decompression, a limit on silence, and a separate
 * error for each kind of failure. Bodies have back-pressure: bytes that nobody reads are not received.
 */
import { EngineError } from "@fathom/base";
import { loadCertificates, systemAuthorities, type TlsMaterial } from "./certificates.ts";
import type { RegistryConfig } from "../contract.ts";
import { officialHost } from "../endpoints.ts";
import { shownUrl, TransportError } from "../errors.ts";
import { environmentProxy, proxyFor, type ProxySettings } from "./proxy.ts";
import { probeTls } from "./tls-probe.ts";
import { failureOf, isMisnamed, refusedWords, wordsOf } from "./transport-words.ts";

export interface Exchange {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | ReadableStream<Uint8Array> | undefined;
  /** Certificates of `url` are not verified. */
  readonly insecure: boolean;
  readonly signal: AbortSignal | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly url: URL;
  /** The body; it can be read once. Rejects with a TransportError when the connection breaks or is silent for too long. */
  chunks(): AsyncGenerator<Uint8Array, void, undefined>;
  /** The whole body. @throws invalid-argument when it is longer than `limitBytes` */
  bytes(limitBytes: number): Promise<Uint8Array>;
  /** Drops the rest of the body and closes the connection. */
  discard(): Promise<void>;
}

/** A timer that starts again at every sign of life. */
class SilenceTimer {
  readonly controller = new AbortController();
  readonly #limitMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }
  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.controller.abort(), this.#limitMs);
  }
  stop(): void {
    clearTimeout(this.#timer);
  }
}

export class Transport {
  readonly #config: RegistryConfig;
  readonly #proxy: ProxySettings;
  readonly #tls = new Map<string, TlsMaterial | undefined>();

  constructor(config: RegistryConfig) {
    this.#config = config;
    // Also done when the settings came from the caller: each thread has its own copy of the environment, which must be cleaned.
    const ofEnvironment = environmentProxy();
    this.#proxy = config.proxy ?? ofEnvironment;
  }

  #tlsOf(host: string): TlsMaterial | undefined {
    if (!this.#tls.has(host)) {
      const hosts = host === officialHost ? [host, "docker.io"] : [host];
      this.#tls.set(host, loadCertificates(this.#config.certificateDirectories, hosts));
    }
    return this.#tls.get(host);
  }

  /** @throws TransportError; "aborted" when the caller's signal aborted */
  async send(exchange: Exchange): Promise<Answer> {
    try {
      return await this.#send(exchange, false);
    } catch (error) {
      // The runtime trusts Mozilla's list. CAs that the machine's owner installed are read only when that list is not enough.
      const again =
        error instanceof TransportError &&
        error.failure === "tls" &&
        this.#tlsOf(exchange.url.host)?.ca === undefined &&
        !(exchange.body instanceof ReadableStream);
      if (!again) throw error;
      const answer = await this.#send(exchange, true);
      this.#tls.set(exchange.url.host, { ...this.#tlsOf(exchange.url.host), ca: systemAuthorities() });
      return answer;
    }
  }

  async #send(exchange: Exchange, withSystemAuthorities: boolean): Promise<Answer> {
    const { method, url, signal } = exchange;
    if (signal?.aborted) throw abortedError(method, url, signal);
    const silence = new SilenceTimer(this.#config.idleTimeoutMs);
    const fail = (error: unknown): TransportError | EngineError => {
      silence.stop();
      if (signal?.aborted) return abortedError(method, url, signal);
      return this.#failure(exchange, error, silence.controller.signal.aborted);
    };
    const material = url.protocol === "https:" ? this.#tlsOf(url.host) : undefined;
    const proxy = proxyFor(url, this.#proxy);
    silence.restart();
    let response: Response;
    try {
      response = await fetch(url, {
        method,
        headers: { "user-agent": this.#config.userAgent, "accept-encoding": "identity", ...exchange.headers },
        ...(exchange.body === undefined ? {} : { body: watched(exchange.body, silence) }),
        redirect: "manual",
        decompress: false,
        signal: signal === undefined ? silence.controller.signal : AbortSignal.any([signal, silence.controller.signal]),
        ...(proxy === undefined ? {} : { proxy }),
        ...(url.protocol === "https:"
          ? {
              tls: {
                ...(material?.ca === undefined ? {} : { ca: [...material.ca] }),
                ...(material?.cert === undefined ? {} : { cert: material.cert, key: material.key }),
                ...(withSystemAuthorities ? { ca: [...systemAuthorities()] } : {}),
                rejectUnauthorized: !exchange.insecure,
              },
            }
          : {}),
      } as BunFetchRequestInit);
    } catch (error) {
      const failure = fail(error);
      throw proxy === undefined && failure instanceof TransportError
        ? await this.#explained(exchange, failure, material)
        : failure;
    }
    silence.restart();
    return new FetchAnswer(response, url, silence, fail);
  }

  /** The error of a failed handshake, with the server's words. */
  async #explained(
    exchange: Exchange,
    failed: TransportError,
    material: TlsMaterial | undefined,
  ): Promise<TransportError> {
    const { url } = exchange;
    const misnamed = isMisnamed(failed.cause);
    if (failed.failure !== "not-tls" && !misnamed) return failed;
    const { reason, names } = await probeTls(url, material, exchange.signal);
    const start = startOf(exchange);
    if (misnamed && names !== undefined && names !== "")
      return new TransportError(
        "tls",
        `${start}tls: failed to verify certificate: x509: certificate is valid for ${names}, not ${url.hostname}`,
        { cause: failed.cause },
      );
    if (misnamed || reason === undefined || /WRONG_VERSION|HTTP_REQUEST/.test(reason)) return failed;
    const words = refusedWords(reason, url, material?.cert !== undefined);
    return new TransportError("tls", start + words, { cause: failed.cause });
  }

  #failure(exchange: Exchange, error: unknown, silent: boolean): TransportError {
    const { url } = exchange;
    const start = startOf(exchange);
    if (silent)
      return new TransportError(
        "idle",
        `${start}timeout: no byte arrived for ${this.#config.idleTimeoutMs / 1000} seconds`,
        { cause: error },
      );
    const failure = failureOf(error);
    return new TransportError(failure, start + wordsOf(failure, error, url), { cause: error });
  }
}

function startOf({ method, url }: Exchange): string {
  return `${method.slice(0, 1)}${method.slice(1).toLowerCase()} "${shownUrl(url)}": `;
}

function abortedError(method: string, url: URL, signal: AbortSignal): EngineError {
  return new EngineError("aborted", `${method} ${shownUrl(url)} was cancelled`, { cause: signal.reason });
}

/** The upload body. Every piece that is sent counts as a sign of life. */
function watched(body: Uint8Array | ReadableStream<Uint8Array>, silence: SilenceTimer): Bun.BodyInit {
  if (body instanceof Uint8Array) return body as Uint8Array<ArrayBuffer>;
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await reader.read();
      silence.restart();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

class FetchAnswer implements Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly url: URL;
  readonly #response: Response;
  readonly #silence: SilenceTimer;
  readonly #fail: (error: unknown) => EngineError;

  constructor(response: Response, url: URL, silence: SilenceTimer, fail: (error: unknown) => EngineError) {
    this.status = response.status;
    this.headers = response.headers;
    this.url = url;
    this.#response = response;
    this.#silence = silence;
    this.#fail = fail;
    if (response.body === null) silence.stop();
  }

  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    const reader = this.#response.body?.getReader();
    if (reader === undefined) return;
    let ended = false;
    try {
      for (;;) {
        // Only the time that the peer takes counts as silence, not the time that the consumer takes.
        this.#silence.restart();
        const { done, value } = await reader.read().catch((error: unknown) => {
          throw this.#fail(error);
        });
        this.#silence.stop();
        ended = done;
        if (done) return;
        yield value;
      }
    } finally {
      this.#silence.stop();
      // The consumer stopped early: close the connection, do not read the rest.
      if (!ended) await reader.cancel().catch(() => undefined);
    }
  }

  async bytes(limitBytes: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.chunks()) {
      length += chunk.length;
      if (length > limitBytes)
        throw new EngineError(
          "invalid-argument",
          `the answer of ${shownUrl(this.url)} is longer than the limit of ${limitBytes} bytes`,
        );
      parts.push(chunk);
    }
    return Buffer.concat(parts, length);
  }

  async discard(): Promise<void> {
    this.#silence.stop();
    await this.#response.body?.cancel().catch(() => undefined);
  }
}
