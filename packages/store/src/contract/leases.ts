/** Leases protect unfinished objects from the garbage collector. */

export interface Lease {
  readonly id: string;
}

/** The client decides how long its lease holds, because nobody else knows whether the client is still there. */
export interface ClientLease {
  /** The client's name for people: "buildctl". */
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
  /** Milliseconds since 1970. After that time it protects nothing, and the next collection removes it. Only a client's lease has one. */
  readonly expiresAtMs: number | undefined;
}

export interface Leases {
  /**
   * Without `client` the lease belongs to this start of the engine. It holds until it is released, or until a later start calls
   * `releaseEarlier`.
   * @param label The purpose: "pull docker.io/library/alpine:3.20".
   * @throws invalid-argument for a time that is not above 0
   */
  create(label: string, client?: ClientLease): Lease;
  /** A client's lease holds for this long from now. @throws not-found when it was released or has expired, invalid-argument when it is the engine's */
  extend(lease: Lease, expiresInMs: number): void;
  /** May be called again. */
  release(lease: Lease): void;
  /** Releases the leases of earlier starts of the engine, because their work is over. A client's lease stays until it expires. */
  releaseEarlier(): void;
  list(): readonly LeaseRecord[];
}
