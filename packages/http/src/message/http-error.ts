/** Bytes that are not HTTP as they should be. The connection ends: what follows such bytes has no certain meaning. */
export class HttpError extends Error {
  /** What a server answers. */
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "HttpError";
    this.status = status;
  }
}
