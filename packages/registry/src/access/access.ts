/** Who may do what. */

export const actions = ["pull", "push", "delete"] as const;
export type Action = (typeof actions)[number];

export interface Principal {
  /** Absent: nobody logged in. */
  readonly name?: string;
  allows(repository: string, action: Action): boolean;
}

/** What a request brings to say who sent it. */
export interface Credentials {
  readonly authorization: string | undefined;
  /** "https://registry.example:5000": where the client reached this server. */
  readonly origin: string;
}

export type Authentication =
  | { readonly kind: "known"; readonly principal: Principal }
  | { readonly kind: "wrong"; readonly reason: string };

export interface Access {
  authenticate(credentials: Credentials): Promise<Authentication>;
  /** WWW-Authenticate for a request that may be repeated with credentials; undefined when there are none that would help. */
  challenge(origin: string, scope: string | undefined): string | undefined;
  /** The answer for a client that asks for a token; undefined when this registry issues none. */
  token(credentials: Credentials, query: URLSearchParams): Promise<TokenAnswer>;
}

export type TokenAnswer =
  | { readonly kind: "token"; readonly token: string; readonly seconds: number }
  | { readonly kind: "wrong"; readonly reason: string }
  | { readonly kind: "none" };

const everything: Principal = { allows: () => true };

/** A registry without users: each client may do everything. */
export const openAccess: Access = {
  async authenticate() {
    return { kind: "known", principal: everything };
  },
  challenge: () => undefined,
  async token() {
    return { kind: "none" };
  },
};
