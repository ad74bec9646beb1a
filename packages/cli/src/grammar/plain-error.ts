/** The program that read our output has ended. Nothing more is printed, and the exit code is that of a program that SIGPIPE ended. */
export class ReaderGoneError extends Error {
  override readonly name = "ReaderGoneError";
  static readonly exitCode = 141;
}

/** An error that docker prints unchanged and ends with exit code 1, also in run and create. */
export class PlainError extends Error {
  override readonly name = "PlainError";
}

/** Flags of run or create that are each valid but contradict each other: docker points to the help, with exit code 125. */
export class CommandLineError extends Error {
  override readonly name = "CommandLineError";
}
