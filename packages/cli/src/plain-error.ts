/** An error that docker prints as it stands and ends with 1, also from run and create. */
export class PlainError extends Error {
  override readonly name = "PlainError";
}
