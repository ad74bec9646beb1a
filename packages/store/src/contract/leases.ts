/** What keeps the garbage collector away from what is being made. */

export interface Lease {
  readonly id: string;
}

/** A client says how long its lease holds: nobody else can know whether the client is still there. */
export interface ClientLease {
  /** Who it is, for people: "buildctl". */
  readonly client: string;
  /** Above 0. */
  readonly expiresInMs: number;
}

/** This start of the engine, an earlier one, or a client. */
export type LeaseOwner =
  | { readonly kind: "engine"; readonly current: boolean }
  | { readonly kind: "client"; readonly name: string };

export interface LeaseRecord {
  readonly id: string;
  readonly label: string;
  readonly owner: LeaseOwner;
  readonly createdAt: string;
  /** Milliseconds since 1970. From then on it holds nothing, and the next collection removes it. Only a client's lease has one. */
  readonly expiresAtMs: number | undefined;
}

export interface Leases {
  /**
   * Without `client` it belongs to this start of the engine and holds until it is released, or until a later start calls `releaseEarlier`.
   * @param label Says what for: "pull docker.io/library/alpine:3.20".
   * @throws invalid-argument for a time that is not above 0
   */
  create(label: string, client?: ClientLease): Lease;
  /** A client's lease holds for so long from now. @throws not-found when it is gone or has expired, invalid-argument when it is the engine's */
  extend(lease: Lease, expiresInMs: number): void;
  /** Idempotent. */
  release(lease: Lease): void;
  /** What earlier starts of the engine had under way is over: their leases go. A client's lease stays until it expires. */
  releaseEarlier(): void;
  list(): readonly LeaseRecord[];
}
