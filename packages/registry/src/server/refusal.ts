/** The errors of the distribution-spec ("Error Codes"), each with its status. */

const statuses = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  PAGINATION_NUMBER_INVALID: 400,
  SIZE_INVALID: 400,
  TAG_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  UNKNOWN: 500,
} as const;

export type RefusalCode = keyof typeof statuses;

export interface RefusalDetails {
  /** When it differs from the code's usual one. */
  readonly status?: number;
  readonly detail?: unknown;
  readonly fields?: Readonly<Record<string, string>>;
}

export class Refusal extends Error {
  readonly code: RefusalCode;
  readonly status: number;
  readonly detail: unknown;
  readonly fields: Readonly<Record<string, string>>;

  constructor(code: RefusalCode, message: string, { status, detail, fields }: RefusalDetails = {}) {
    super(message);
    this.code = code;
    this.status = status ?? statuses[code];
    this.detail = detail;
    this.fields = fields ?? {};
  }

  /** The body that the spec asks for. */
  get body(): { errors: readonly { code: RefusalCode; message: string; detail?: unknown }[] } {
    const { code, message, detail } = this;
    return { errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] };
  }
}
