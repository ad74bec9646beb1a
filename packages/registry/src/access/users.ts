/** Access for a registry with users: a login with a password, or a token of this registry. */
import { EngineError, isEngineError } from "@fathom/base";
import type { Access, Authentication, Credentials, Principal, TokenAnswer } from "./access.ts";
import type { Htpasswd } from "./htpasswd.ts";
import { principalOf, type AccessRules } from "./rules.ts";
import { readScopes, readToken, signToken } from "./tokens.ts";

export interface UserAccessOptions {
  readonly users: Htpasswd;
  readonly rules: AccessRules;
  /** Signs the tokens; a registry with the same key accepts them. */
  readonly key: Uint8Array;
  /** Whether clients are asked to get a token, or to send their password with each request. */
  readonly challenge: "basic" | "token";
  readonly now?: () => number;
}

const tokenSeconds = 300;
const serviceName = "fathom-registry";
/** How long a login waits for its turn; a hash takes a fraction of a second. */
const patienceMs = 30_000;

export function userAccess(options: UserAccessOptions): Access {
  const { users, rules, key } = options;
  const now = options.now ?? Date.now;

  const login = async ({ authorization = "" }: Credentials): Promise<Authentication> => {
    const [scheme = "", value = ""] = authorization.split(" ");
    const text = Buffer.from(value, "base64").toString();
    const colon = text.indexOf(":");
    if (scheme.toLowerCase() !== "basic" || colon < 0) return { kind: "wrong", reason: "malformed credentials" };
    const name = text.slice(0, colon);
    let right: boolean;
    try {
      right = await users.verify(name, text.slice(colon + 1), AbortSignal.timeout(patienceMs));
    } catch (error) {
      if (!isEngineError(error, "aborted")) throw error;
      throw new EngineError("unavailable", "too many logins are under way; try again", { cause: error });
    }
    if (!right) return { kind: "wrong", reason: "wrong user name or password" };
    return { kind: "known", principal: principalOf(name, rules) };
  };

  const bearer = (token: string): Authentication => {
    const read = readToken(key, token, now());
    if (read === undefined) return { kind: "wrong", reason: "the token has expired, or another registry made it" };
    const anonymous = principalOf(undefined, rules);
    const principal: Principal = {
      ...(read.user === undefined ? {} : { name: read.user }),
      allows: (repository, action) =>
        anonymous.allows(repository, action) ||
        read.rights.some((right) => right.repository === repository && right.actions.includes(action)),
    };
    return { kind: "known", principal };
  };

  return {
    async authenticate(credentials) {
      const { authorization } = credentials;
      if (authorization === undefined) return { kind: "known", principal: principalOf(undefined, rules) };
      const token = /^bearer (.+)$/i.exec(authorization)?.[1];
      return token === undefined ? login(credentials) : bearer(token);
    },

    challenge(origin, scope) {
      if (options.challenge === "basic") return `Basic realm="${serviceName}"`;
      const wanted = scope === undefined ? "" : `,scope="${scope}"`;
      return `Bearer realm="${origin}/token",service="${serviceName}"${wanted}`;
    },

    async token(credentials, query): Promise<TokenAnswer> {
      const known: Authentication =
        credentials.authorization === undefined
          ? { kind: "known", principal: principalOf(undefined, rules) }
          : await login(credentials);
      if (known.kind === "wrong") return known;
      const { name, allows } = known.principal;
      const rights = readScopes(query.getAll("scope")).map(({ repository, actions }) => ({
        repository,
        actions: actions.filter((action) => allows(repository, action)),
      }));
      const expires = Math.floor(now() / 1000) + tokenSeconds;
      const token = signToken(key, { ...(name === undefined ? {} : { user: name }), rights, expires });
      return { kind: "token", token, seconds: tokenSeconds };
    },
  };
}
