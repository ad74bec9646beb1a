/** Whoever read our output has gone: nothing more is said, and the exit code is that of a program which SIGPIPE ended. */
export class ReaderGoneError extends Error {
  override readonly name = "ReaderGoneError";
  static readonly exitCode = 141;
}

/** An error that docker prints as it stands and ends with 1, also from run and create. */
export class PlainError extends Error {
  override readonly name = "PlainError";
}
