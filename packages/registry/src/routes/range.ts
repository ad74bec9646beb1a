/** Ranges of bytes in requests (RFC 9110, 14.2), and those of chunked uploads. */

export interface ByteRange {
  readonly start: number;
  /** The first byte behind it. */
  readonly end: number;
}

/** undefined: the whole, also for several ranges and for a field that is malformed. */
export function readRange(field: string | undefined, size: number): ByteRange | "unsatisfiable" | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(field?.trim() ?? "");
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "") {
    if (last === "") return undefined;
    const length = Math.min(Number(last), size);
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return undefined;
  if (start >= size) return "unsatisfiable";
  return { start, end: last === "" ? size : Math.min(Number(last) + 1, size) };
}

/** "START-END" of a chunk, both included ("Pushing a blob in chunks"). undefined when it is malformed. */
export function readChunkRange(field: string): ByteRange | undefined {
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/[\d*]+)?$/.exec(field.trim());
  if (match === null || Number(match[2]) < Number(match[1])) return undefined;
  return { start: Number(match[1]), end: Number(match[2]) + 1 };
}
