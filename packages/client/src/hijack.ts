/** A connection after the head of the answer, as raw bytes: attach and exec. Each direction can be closed alone. */
import { EngineError } from "@fathom/base";
import type { ResponseHead } from "@fathom/http";
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

/** A piece of a frame. Pieces are passed on as they arrive, so a large frame is never whole in memory. */
export interface Frame {
  /** 1 is stdout, 2 is stderr, 3 is an error of the daemon. */
  readonly stream: number;
  readonly data: Uint8Array;
}

/** Splits Docker's frames: an 8-byte header with the stream and the length (big-endian), then the bytes. @throws data-loss */
export async function* demultiplex(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Frame> {
  const header = Buffer.alloc(8);
  let headerLength = 0;
  let left = 0;
  for await (const chunk of chunks) {
    let offset = 0;
    while (offset < chunk.length) {
      if (left === 0) {
        const taken = Math.min(8 - headerLength, chunk.length - offset);
        header.set(chunk.subarray(offset, offset + taken), headerLength);
        headerLength += taken;
        offset += taken;
        if (headerLength < 8) break;
        headerLength = 0;
        left = header.readUInt32BE(4);
        if (header[0]! > 3) throw new EngineError("data-loss", `unrecognized stream: ${header[0]}`);
        continue;
      }
      const taken = Math.min(left, chunk.length - offset);
      yield { stream: header[0]!, data: chunk.subarray(offset, offset + taken) };
      left -= taken;
      offset += taken;
    }
  }
  if (left > 0 || headerLength > 0)
    throw new EngineError("data-loss", "the daemon closed the connection in the middle of a piece of output");
}
