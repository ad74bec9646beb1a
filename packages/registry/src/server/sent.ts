/** The bytes of an answer, no faster than the client reads them. */
import { EngineError } from "@fathom/base";
import type { Response } from "@fathom/http";

/** A client that reads nothing for so long is gone; its connection would otherwise keep a file open for ever. */
export const unreadMs = 60_000;

/** Writes one piece. @throws timeout when the client does not read; aborted when it has gone */
export async function send(response: Response, piece: Uint8Array, limitMs: number = unreadMs): Promise<void> {
  const accepted = response.write(piece);
  if (accepted === undefined) return;
  let timer: Timer | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new EngineError("timeout", "the client does not read the answer")), limitMs);
  });
  // When the time is over, the end of the connection makes it fail.
  accepted.catch(() => undefined);
  try {
    await Promise.race([accepted, stalled]);
  } finally {
    clearTimeout(timer);
  }
}
