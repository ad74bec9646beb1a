/** Limits for one connection of a client: memory and time. */
export interface ConnectionLimits {
  /** Bytes of the input that nobody reads; then the socket is paused. */
  readonly inputBytes: number;
  /** To keep the connection, a body that the handler did not read is read up to this size and for this time. */
  readonly skipBytes: number;
  readonly skipTimeoutMs: number;
  /** Bytes of answers that wait for a client to read them; then its next request waits too. */
  readonly unreadBytes: number;
  /** How long a client may take to close its side after the last answer. */
  readonly lingerMs: number;
  /** From the first byte of a head to its last. */
  readonly headTimeoutMs: number;
}

export const connectionLimits: ConnectionLimits = {
  inputBytes: 64 * 1024,
  skipBytes: 256 * 1024,
  skipTimeoutMs: 5_000,
  unreadBytes: 256 * 1024,
  lingerMs: 2_000,
  headTimeoutMs: 30_000,
};
