/**
 * Requests to one repository: tries endpoints in order and remembers the one that works, authenticates, follows redirects, retries. Code above
 * it sees one call, which returns an answer below 400 or throws.
 */
import { asEngineError, EngineError, isEngineError, systemClock, type Clock } from "@fathom/base";
import type { Reference } from "@fathom/spec";
import { Authorizer, type AuthorizerState } from "./authentication/authorizer.ts";
import { parseChallenges } from "./authentication/challenge.ts";
import type { Credentials, RegistryConfig } from "./contract.ts";
import { endpointsOf, rememberScheme, type Endpoint } from "./endpoints.ts";
import { BusyError, errorOfAnswer, RegistryError, shownUrl, TransportError } from "./errors.ts";
import { sendFollowing } from "./transport/redirects.ts";
import { busyOr, withRetries } from "./transport/retry.ts";
import { Transport, type Answer, type Exchange } from "./transport/transport.ts";

const maxErrorBodyBytes = 64 * 1024;

export interface RegistryRequest {
  readonly method: Exchange["method"];
  /** A path below "/v2/": "library/alpine/manifests/3.20". Or a whole URL from the registry (upload locations). */
  readonly path: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Made again for every try. */
  readonly body?: () => Uint8Array | ReadableStream<Uint8Array>;
  /** Scope of the token; the session's own (pull) when absent. */
  readonly scope?: string;
  readonly signal?: AbortSignal | undefined;
  /** How often it is tried when its failures may be temporary; default: as the settings say. */
  readonly attempts?: number;
  /** Statuses above 399 that do not throw, because the caller handles them. */
  readonly allowed?: readonly number[];
}

/** Plain data: an open session for a worker thread. */
export interface SessionState {
  readonly endpoints: readonly (Endpoint & { readonly auth: AuthorizerState })[];
}

interface Place {
  readonly endpoint: Endpoint;
  readonly authorizer: Authorizer;
}

export interface SessionOptions {
  readonly reference: Reference;
  readonly config: RegistryConfig;
  readonly credentials: Credentials | undefined;
  readonly clock?: Clock | undefined;
  readonly state?: SessionState | undefined;
}

export class Session {
  readonly #options: SessionOptions;
  readonly #clock: Clock;
  readonly #transport: Transport;
  #places: Place[] | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#transport = new Transport(options.config);
    this.#places = options.state?.endpoints.map(({ auth, ...endpoint }) => this.#place(endpoint, auth));
  }

  get pullScope(): string {
    return `repository:${this.#options.reference.repository}:pull`;
  }

  get pushScope(): string {
    return `repository:${this.#options.reference.repository}:pull,push`;
  }

  /** The data with which a worker continues without new requests for access; undefined before the first request. */
  state(): SessionState | undefined {
    const endpoints = this.#places?.map(({ endpoint, authorizer }) => ({ ...endpoint, auth: authorizer.state() }));
    return endpoints === undefined ? undefined : { endpoints };
  }

  #place(endpoint: Endpoint, state?: AuthorizerState): Place {
    const authorizer = new Authorizer(
      {
        credentials: endpoint.mirror ? undefined : this.#options.credentials,
        transport: this.#transport,
        clock: this.#clock,
        insecure: endpoint.insecure,
      },
      state,
    );
    return { endpoint, authorizer };
  }

  /** @throws RegistryError, TransportError, "aborted" */
  async request(request: RegistryRequest): Promise<Answer> {
    this.#places ??= (await endpointsOf(this.#options.reference, this.#options.config)).map((endpoint) =>
      this.#place(endpoint),
    );
    // A push goes to the registry itself, never to a mirror.
    const places =
      request.method === "GET" || request.method === "HEAD"
        ? this.#places
        : this.#places.filter((place) => !place.endpoint.mirror);
    const failures: { place: Place; error: EngineError }[] = [];
    for (const place of places) {
      try {
        const answer = await this.#withRetries(place, request);
        rememberScheme(place.endpoint);
        this.#prefer(place);
        return answer;
      } catch (error) {
        if (isEngineError(error, "aborted")) throw error;
        failures.push({ place, error: asEngineError(error) });
        if (!canGoOn(place.endpoint, error)) break;
      }
    }
    throw worstOf(failures);
  }

  /** From now on the endpoint that answered is tried first. Other endpoints of the same host (the other scheme) are dropped. */
  #prefer(place: Place): void {
    if (place === this.#places?.[0] && this.#places.length === 1) return;
    const host = new URL(place.endpoint.base).host;
    const rest = (this.#places ?? []).filter((other) => other !== place && new URL(other.endpoint.base).host !== host);
    // A mirror stays before the registry, and the registry stays after it as the fallback.
    this.#places = place.endpoint.mirror
      ? [place, ...rest]
      : [...rest.filter((other) => !other.endpoint.mirror), place];
  }

  #hasSibling(place: Place): boolean {
    const host = new URL(place.endpoint.base).host;
    return (this.#places ?? []).some((other) => other !== place && new URL(other.endpoint.base).host === host);
  }

  async #withRetries(place: Place, request: RegistryRequest): Promise<Answer> {
    const attempts = place.endpoint.mirror ? 1 : (request.attempts ?? this.#options.config.attempts);
    try {
      return await withRetries(
        attempts,
        this.#clock,
        request.signal,
        () => this.#authorized(place, request),
        // The scheme is not known yet. A closed connection may mean the wrong scheme, so the other one is tried.
        this.#hasSibling(place) ? (error) => error instanceof BusyError : undefined,
      );
    } catch (error) {
      if (request.signal?.aborted && !isEngineError(error, "aborted"))
        throw new EngineError("aborted", "the request to the registry was cancelled", { cause: error });
      throw error;
    }
  }

  async #authorized(place: Place, request: RegistryRequest): Promise<Answer> {
    const scope = request.scope ?? this.pullScope;
    await place.authorizer.prepare(scope, request.signal);
    // One try without authentication, one after the challenge. If the registry rejects a new token, that is final.
    for (let round = 0; ; round++) {
      const sent = place.authorizer.header(scope);
      const answer = await this.#follow(place.endpoint, request, sent);
      const { status, headers, url } = answer;
      if (status < 400 || (status !== 401 && request.allowed?.includes(status))) return answer;
      const challenges = status === 401 ? parseChallenges(headers.get("www-authenticate")) : [];
      const scopeError = challenges.find((challenge) => challenge.scheme === "bearer")?.parameters["error"];
      if (status === 401 && round === 0 && challenges.length > 0 && !sameOrigin(url, place.endpoint)) {
        await answer.discard();
        throw new RegistryError(
          "unauthenticated",
          "unauthorized",
          401,
          `unauthorized: ${shownUrl(url)} refused access`,
        );
      }
      if (status === 401 && round === 0 && challenges.length > 0) {
        await answer.discard();
        await place.authorizer.answer(url, challenges, scope, sent, request.signal).catch((error: unknown) => {
          throw withRequest(error, request.method, url);
        });
        continue;
      }
      if (request.allowed?.includes(status)) return answer;
      const body = await answer.bytes(maxErrorBodyBytes).catch(() => new Uint8Array());
      const error = errorOfAnswer(request.method, url, status, new TextDecoder().decode(body), scopeError);
      throw busyOr(error, headers, this.#clock);
    }
  }

  /** Sends the request and follows redirects of GET and HEAD. Only the first origin gets the Authorization header. */
  async #follow(endpoint: Endpoint, request: RegistryRequest, authorization: string | undefined): Promise<Answer> {
    const first = typeof request.path === "string" ? new URL(`${endpoint.base}/v2/${request.path}`) : request.path;
    return sendFollowing(
      this.#transport,
      first,
      (url) => ({
        method: request.method,
        url,
        headers: {
          ...request.headers,
          ...(authorization !== undefined && sameOrigin(url, endpoint) ? { authorization } : {}),
        },
        body: request.body?.(),
        // What the settings allow for the registry's host is not allowed for other hosts that it names.
        insecure: endpoint.insecure && sameHost(url, endpoint),
        signal: request.signal,
      }),
      endpoint.insecure,
    );
  }
}

function sameOrigin(url: URL, endpoint: Endpoint): boolean {
  return url.origin === new URL(endpoint.base).origin;
}

function sameHost(url: URL, endpoint: Endpoint): boolean {
  return url.hostname === new URL(endpoint.base).hostname;
}

/** Docker's message names the request that had no credentials. */
function withRequest(error: unknown, method: string, url: URL): unknown {
  if (!(error instanceof RegistryError) || error.reason !== "no-credentials") return error;
  const verb = method.slice(0, 1) + method.slice(1).toLowerCase();
  return new RegistryError(error.code, error.reason, error.status, `${verb} "${shownUrl(url)}": ${error.message}`);
}

/**
 * After a mirror, every next endpoint may be tried. After HTTPS of an insecure registry, plain HTTP may be tried, unless the host uses TLS and
 * rejected the request.
 */
function canGoOn(endpoint: Endpoint, error: unknown): boolean {
  if (endpoint.mirror) return true;
  return endpoint.insecure && error instanceof TransportError && error.failure !== "tls";
}

/** The failure to show: an answer of a server before a connection failure; of two connection failures, the last. */
function worstOf(failures: readonly { place: Place; error: EngineError }[]): EngineError {
  const own = failures.filter(({ place }) => !place.endpoint.mirror);
  const shown = own.length > 0 ? own : failures;
  const said = shown.find(({ error }) => error instanceof RegistryError);
  return said?.error ?? shown.at(-1)?.error ?? new EngineError("internal", "no endpoint for the registry");
}
