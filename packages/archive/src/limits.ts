/** Limits of the tar reader. Each has an error that names it, because an archive may be hostile. */
import { EngineError } from "@fathom/base";

export interface TarLimits {
  /** Bytes of a path or link target. Linux accepts 4095. */
  readonly maxPathBytes: number;
  readonly maxEntries: number;
  /** Bytes of one extended header (PAX, or a GNU long name). */
  readonly maxPaxBytes: number;
  /** Bytes of data in all entries: the stored size or the size of the files, whichever is more. */
  readonly maxTotalBytes: number;
  /** Pieces of one sparse file. */
  readonly maxSparseSegments: number;
}

export const defaultTarLimits: TarLimits = {
  maxPathBytes: 4095,
  maxEntries: 4_000_000,
  maxPaxBytes: 1024 * 1024,
  maxTotalBytes: 1024 ** 4,
  maxSparseSegments: 262_144,
};

/** The error of a limit: it names the limit, its value and the value found. */
export function limitError(limit: keyof TarLimits, value: number, subject: string): EngineError {
  return new EngineError("resource-exhausted", `tar: ${subject}: over the limit ${limit} of ${value}`);
}
