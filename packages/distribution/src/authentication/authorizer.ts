/**
 * Authentication at one registry endpoint (the token flow of distribution-spec): Basic, Bearer, or nothing. Bearer tokens come from the realm
 * that the challenge names (GET with Basic credentials, or OAuth2 POST with an identity token). Messages never contain secrets.
 */
import { EngineError, type Clock } from "@fathom/base";
import { isObject, parseJson } from "@fathom/spec";
import type { Challenge } from "./challenge.ts";
import type { Credentials } from "../contract.ts";
import { errorOfAnswer, RegistryError, shownUrl } from "../errors.ts";
import { sendFollowing } from "../transport/redirects.ts";
import { busyOr } from "../transport/retry.ts";
import type { Transport } from "../transport/transport.ts";

const maxTokenAnswerBytes = 1024 * 1024;
const clientId = "fathom";
/** A token is not used any more this long before its end, so that it does not expire during a request. */
const tokenMarginMs = 5_000;
const defaultTokenLifeMs = 60_000;

interface Token {
  readonly header: string;
  /** Monotonic milliseconds. */
  readonly endsAtMs: number;
}

/** The part that a worker thread receives. */
export interface AuthorizerState {
  readonly basic: boolean;
  /** scope → Authorization header and the milliseconds until it expires. */
  readonly tokens: readonly (readonly [string, string, number])[];
}

export interface AuthorizerOptions {
  readonly credentials: Credentials | undefined;
  readonly transport: Transport;
  readonly clock: Clock;
  /** Whether the registry itself may be used over plain HTTP; its token server then may be, too. */
  readonly insecure: boolean;
}

export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #tokens = new Map<string, Token>();
  readonly #pending = new Map<string, Promise<void>>();
  #basic = false;
  /** Scheme and realm of the last challenge: another scope then needs no 401 of its own. */
  #realm: Challenge | undefined;

  constructor(options: AuthorizerOptions, state?: AuthorizerState) {
    this.#options = options;
    if (state === undefined) return;
    this.#basic = state.basic;
    for (const [scope, header, leftMs] of state.tokens)
      this.#tokens.set(scope, { header, endsAtMs: options.clock.monotonicMs() + leftMs });
  }

  state(): AuthorizerState {
    const now = this.#options.clock.monotonicMs();
    return {
      basic: this.#basic,
      tokens: [...this.#tokens].map(([scope, token]) => [scope, token.header, token.endsAtMs - now] as const),
    };
  }

  /** The Authorization header for a request of this scope, if the client knows it already. */
  header(scope: string): string | undefined {
    const { credentials, clock } = this.#options;
    if (credentials?.registryToken !== undefined) return `Bearer ${credentials.registryToken}`;
    const token = this.#tokens.get(scope);
    if (token !== undefined && token.endsAtMs > clock.monotonicMs()) return token.header;
    return this.#basic ? this.#basicHeader() : undefined;
  }

  #basicHeader(): string | undefined {
    const { credentials } = this.#options;
    if (credentials?.username === undefined || credentials.username === "") return undefined;
    return `Basic ${Buffer.from(`${credentials.username}:${credentials.password ?? ""}`).toString("base64")}`;
  }

  /**
   * Answers the challenges of a 401. After it, `header(scope)` returns a new value to try.
   * @param sent The Authorization header that the registry rejected.
   * @throws RegistryError "no-credentials" or "unauthorized" when there is nothing (new) to try; BusyError when the token server may give a
   * token later.
   */
  async answer(
    url: URL,
    challenges: readonly Challenge[],
    scope: string,
    sent: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#options.credentials?.registryToken !== undefined) throw refused();
    const bearer = challenges.find((challenge) => challenge.scheme === "bearer");
    if (bearer !== undefined) {
      this.#tokens.delete(scope);
      this.#realm = bearer;
      return this.#fetchTokenOnce(bearer, scope, signal);
    }
    if (challenges.some((challenge) => challenge.scheme === "basic")) {
      const header = this.#basicHeader();
      if (header === undefined)
        throw new RegistryError("unauthenticated", "no-credentials", 401, "no basic auth credentials");
      if (header === sent) throw refused();
      this.#basic = true;
      return;
    }
    const schemes = challenges.map((challenge) => challenge.scheme).join(", ");
    throw new RegistryError(
      "unauthenticated",
      "unauthorized",
      401,
      `unauthorized: ${url.host} asks for an authentication that fathom does not support (${schemes === "" ? "no scheme named" : schemes})`,
    );
  }

  /** Fetches the token of another scope from the known realm. Does nothing when no realm is known. */
  async prepare(scope: string, signal: AbortSignal | undefined): Promise<void> {
    if (this.#realm !== undefined && this.header(scope) === undefined)
      await this.#fetchTokenOnce(this.#realm, scope, signal);
  }

  /** Requests that need the same token at the same time share one token request. */
  async #fetchTokenOnce(challenge: Challenge, scope: string, signal: AbortSignal | undefined): Promise<void> {
    const running = this.#pending.get(scope);
    if (running !== undefined) return running;
    const mine = this.#fetchToken(challenge, scope, signal).finally(() => this.#pending.delete(scope));
    this.#pending.set(scope, mine);
    return mine;
  }

  async #fetchToken(challenge: Challenge, scope: string, signal: AbortSignal | undefined): Promise<void> {
    const { transport, credentials, clock, insecure } = this.#options;
    const realm = URL.parse(challenge.parameters["realm"] ?? "");
    if (realm === null || (realm.protocol !== "https:" && realm.protocol !== "http:"))
      throw new RegistryError(
        "unauthenticated",
        "unauthorized",
        401,
        "unauthorized: the registry names no token server",
      );
    const secret = credentials?.identityToken !== undefined || this.#basicHeader() !== undefined;
    if (realm.protocol === "http:" && secret && !insecure)
      throw new RegistryError(
        "unauthenticated",
        "unauthorized",
        401,
        `unauthorized: the token server ${shownUrl(realm)} uses plain HTTP; fathom does not send credentials to it`,
      );
    const service = challenge.parameters["service"] ?? "";
    const identityToken = credentials?.identityToken;
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: identityToken ?? "",
      service,
      scope,
      client_id: clientId,
    });
    const answer = await sendFollowing(
      transport,
      identityToken === undefined ? withQuery(realm, service, scope, credentials?.username) : realm,
      (url) => ({
        ...(identityToken === undefined
          ? {
              method: "GET" as const,
              // A redirect never takes the password to another host or to another protocol.
              headers: secret && url.origin === realm.origin ? { authorization: this.#basicHeader()! } : {},
            }
          : {
              method: "POST" as const,
              headers: { "content-type": "application/x-www-form-urlencoded" },
              body: new TextEncoder().encode(form.toString()),
            }),
        url,
        insecure: insecure && url.hostname === realm.hostname,
        signal,
      }),
      insecure,
    );
    if (answer.status >= 300 && answer.status < 400) {
      await answer.discard();
      throw new RegistryError(
        "unavailable",
        "other",
        answer.status,
        `the token server ${shownUrl(realm)} redirects to another address; fathom does not send the identity token there`,
      );
    }
    const body = await answer.bytes(maxTokenAnswerBytes);
    if (answer.status !== 200) {
      const method = identityToken === undefined ? "GET" : "POST";
      const error = errorOfAnswer(method, realm, answer.status, new TextDecoder().decode(body));
      // A token server that rejects the request answers 401 or 403; the text of its answer does not matter.
      if (answer.status === 401 || answer.status === 403)
        throw new RegistryError(
          "unauthenticated",
          "unauthorized",
          answer.status,
          secret ? "unauthorized: incorrect username or password" : "unauthorized: authentication required",
          { cause: error },
        );
      throw busyOr(error, answer.headers, clock);
    }
    const fields = parseJson(body, "the answer of the token server", maxTokenAnswerBytes);
    const text = isObject(fields) ? (fields["token"] ?? fields["access_token"]) : undefined;
    // A token becomes part of a header. A token with characters that a header cannot contain is rejected and never sent.
    if (typeof text !== "string" || !/^[\x21-\x7e]+$/.test(text))
      throw new EngineError("unavailable", `the token server ${shownUrl(realm)} gave no token`);
    const life = isObject(fields) && typeof fields["expires_in"] === "number" ? fields["expires_in"] * 1000 : 0;
    const lifeMs = Math.min(Math.max(life, defaultTokenLifeMs), 24 * 3600 * 1000);
    this.#tokens.set(scope, { header: `Bearer ${text}`, endsAtMs: clock.monotonicMs() + lifeMs - tokenMarginMs });
  }
}

function refused(): RegistryError {
  return new RegistryError("unauthenticated", "unauthorized", 401, "unauthorized: authentication required");
}

function withQuery(realm: URL, service: string, scope: string, account: string | undefined): URL {
  const url = new URL(realm);
  if (service !== "") url.searchParams.set("service", service);
  for (const part of scope === "" ? [] : scope.split(" ")) url.searchParams.append("scope", part);
  if (account !== undefined && account !== "") url.searchParams.set("account", account);
  return url;
}
