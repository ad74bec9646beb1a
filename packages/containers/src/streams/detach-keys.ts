/** The key sequence that detaches a client: "ctrl-p,ctrl-q", "ctrl-x,y", "a". */
import { EngineError } from "@fathom/base";

export const defaultDetachKeys: Uint8Array = Uint8Array.of(0x10, 0x11);

/**
 * Bytes of the sequence; "" gives the default. `word` is what Docker calls them in its error: "detach" for a container, "escape" for an exec.
 * @throws invalid-argument
 */
export function parseDetachKeys(text: string, word: "detach" | "escape"): Uint8Array {
  if (text === "") return defaultDetachKeys;
  const bytes: number[] = [];
  for (const key of text.split(",")) {
    if (key.length === 1) bytes.push(key.charCodeAt(0) & 0xff);
    else if (/^ctrl-[a-z@[\\\]^_]$/.test(key)) bytes.push(key.charCodeAt(5) & 0x1f);
    else throw new EngineError("invalid-argument", `Invalid ${word} keys (${text}) provided`);
  }
  return Uint8Array.from(bytes);
}

const none: Uint8Array = new Uint8Array();

/**
 * The sequence that the server looks for in what a client sends: none without a terminal, where every byte is the process's.
 * @throws invalid-argument for a sequence that is none, terminal or not
 */
export function effectiveDetachKeys(text: string, word: "detach" | "escape", tty: boolean): Uint8Array {
  const keys = parseDetachKeys(text, word);
  return tty ? keys : none;
}
