/** A connection taken over after the answer's head: attach and exec. Half-close works in both directions. */
import { EngineError } from "@fathom/base";
import type { ResponseHead } from "@fathom/http";
import type { Connection } from "./connection.ts";

export interface HijackedStream {
  /** True when the daemon says that the bytes are multiplexed frames. */
  readonly multiplexed: boolean;
  /** Bytes from the process, until it ends. Read no faster than they are taken. */
  readonly output: AsyncIterable<Uint8Array>;
  /** Resolves when the bytes are taken; waits while the daemon is slow. After the process's end bytes are dropped. */
  write(data: Uint8Array): Promise<void>;
  /** No more input. */
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
        // The process is gone, and what is typed has nowhere to go; its output tells the end.
      }
    },
    end: () => connection.end(),
    close: () => connection.close(),
  };
}

async function* outputOf(connection: Connection): AsyncGenerator<Uint8Array> {
  for (let chunk = await connection.read(); chunk !== undefined; chunk = await connection.read()) yield chunk;
}

/** A piece is given on as it comes: a large frame never waits in memory for its end. */
export interface Frame {
  /** 1 stdout, 2 stderr; 3 is an error of the daemon's. */
  readonly stream: number;
  readonly data: Uint8Array;
}

/** Splits Docker's frames: 8-byte header with the stream and the length, big-endian. @throws data-loss */
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
    throw new EngineError("data-loss", "the daemon ended the connection within a piece of output");
}
