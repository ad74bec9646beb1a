/** Bytes that are not correct HTTP. The connection ends: bytes after them have no certain meaning. */
export class HttpError extends Error {
  /** The status that a server answers. */
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "HttpError";
    this.status = status;
  }
}
