/** Limits of the tar reader. Every one has an error that names it; an archive is hostile until it has been read. */
import { EngineError } from "@fathom/base";

export interface TarLimits {
  /** Bytes of a path or link target. Linux takes 4095. */
  readonly maxPathBytes: number;
  readonly maxEntries: number;
  /** Bytes of one extended header (PAX, or a GNU long name). */
  readonly maxPaxBytes: number;
  /** Bytes of data in all entries, as stored and as files show them, whichever is more. */
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

/** The error of a limit: it names the limit, its value and what was met. */
export function limitError(limit: keyof TarLimits, value: number, subject: string): EngineError {
  return new EngineError("resource-exhausted", `tar: ${subject}: over the limit ${limit} of ${value}`);
}
