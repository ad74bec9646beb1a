/** A connection after the head of the answer, as raw bytes: attach and exec. Each direction can be closed alone. */
import { EngineError } from "@fathom/base";
import type { ResponseHead } from "@fathom/http";
import { FrameSplitter, type Frame } from "@fathom/spec";
import type { Connection } from "./connection.ts";

export interface HijackedStream {
  /** True when the daemon says that the bytes come in multiplexed frames. */
  readonly multiplexed: boolean;
  /** Bytes from the process, until it ends. The client reads them no faster than the caller takes them. */
  readonly output: AsyncIterable<Uint8Array>;
  /** Resolves when the connection has accepted the bytes; waits while the daemon is slow. After the end of the process, bytes are dropped. */
  write(data: Uint8Array): Promise<void>;
  /** Closes the input. */
  end(): void;
  close(): void;
}

export function hijackedStream(connection: Connection, head: ResponseHead): HijackedStream {
  return {
    multiplexed: head.headers.get("content-type")?.startsWith("application/vnd.docker.multiplexed-stream") ?? false,
    output: outputOf(connection),
    async write(data) {
      try {
        await connection.write(data);
      } catch {
        // The process has ended, so input has no receiver. The end of the output reports that.
      }
    },
    end: () => connection.end(),
    close: () => connection.close(),
  };
}

async function* outputOf(connection: Connection): AsyncGenerator<Uint8Array> {
  for (let chunk = await connection.read(); chunk !== undefined; chunk = await connection.read()) yield chunk;
}

/** Splits Docker's frames. @throws data-loss */
export async function* demultiplex(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Frame> {
  const splitter = new FrameSplitter();
  for await (const chunk of chunks) yield* splitter.push(chunk);
  if (!splitter.isWhole)
    throw new EngineError("data-loss", "the daemon closed the connection in the middle of a piece of output");
}
