/** The key sequence that detaches a client, in the form of Docker's clients: "ctrl-p,ctrl-q", "ctrl-x,y", "a". */
import { EngineError } from "@fathom/base";

/**
 * Bytes of the sequence; undefined for "": then the client does not choose. `word` is Docker's name for the keys in its error: "detach" for a
 * container, "escape" for an exec.
 * @throws invalid-argument
 */
export function parseDetachKeys(text: string, word: "detach" | "escape"): Uint8Array | undefined {
  if (text === "") return undefined;
  const bytes: number[] = [];
  for (const key of text.split(",")) {
    if (key.length === 1) bytes.push(key.charCodeAt(0) & 0xff);
    else if (/^ctrl-[a-z@[\\\]^_]$/.test(key)) bytes.push(key.charCodeAt(5) & 0x1f);
    else throw new EngineError("invalid-argument", `Invalid ${word} keys (${text}) provided`);
  }
  return Uint8Array.from(bytes);
}
