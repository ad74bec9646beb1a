/** The body of a request that pushes something. */
import { EngineError } from "@fathom/base";
import type { Exchange } from "@fathom/http";

/** A client that sends nothing for so long is gone. What it sent before stays in its upload. */
const stallMs = 60_000;

/** Piece by piece. @throws timeout when the client sends nothing; what `MessageBody.read` throws */
export async function* received({ body }: Pick<Exchange, "body">): AsyncGenerator<Uint8Array> {
  for (;;) {
    let timer: Timer | undefined;
    const stalled = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new EngineError("timeout", "the body did not come in time")), stallMs);
    });
    const reading = body.read();
    // When the time is over, the end of the connection makes it fail.
    reading.catch(() => undefined);
    try {
      const bytes = await Promise.race([reading, stalled]);
      if (bytes === undefined) return;
      yield bytes;
    } finally {
      clearTimeout(timer);
    }
  }
}
