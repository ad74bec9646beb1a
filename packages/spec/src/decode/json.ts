/** Parsing of JSON text from the network, before a decoder reads it. */
import { EngineError } from "@fathom/base";

/** JSON text of at most `limitBytes`. @throws invalid-argument */
export function parseJson(raw: Uint8Array, what: string, limitBytes: number): unknown {
  if (raw.length > limitBytes)
    throw new EngineError("invalid-argument", `${what} has ${raw.length} bytes, more than the limit of ${limitBytes}`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(raw));
  } catch (cause) {
    throw new EngineError("invalid-argument", `${what} is not valid JSON`, { cause });
  }
}
