/** Reads a multiplexed stream as text: the output of a health check. */
import { createConnection } from "node:net";
import { FrameSplitter } from "@fathom/spec";

export interface FrameText {
  /** Resolves at the end of the stream. It never rejects. */
  readonly ended: Promise<void>;
  /** What has arrived, at most the limit. */
  text(): string;
  /** Reads no more. */
  stop(): void;
}

/** Takes over the descriptor. It keeps at most `limit` bytes, and reads and drops the rest. */
export function readFrames(fd: number, limit: number): FrameText {
  const socket = createConnection({ fd } as unknown as { path: string });
  const splitter = new FrameSplitter();
  const kept: Buffer[] = [];
  let size = 0;
  socket.on("data", (chunk: Buffer) => {
    try {
      for (const { data } of splitter.push(chunk)) {
        const body = data.subarray(0, Math.max(0, limit - size));
        kept.push(Buffer.from(body));
        size += body.length;
      }
    } catch {
      // These are no frames: the bytes that were read before count.
      socket.destroy();
    }
  });
  socket.on("end", () => socket.end());
  const ended = new Promise<void>((resolve) => {
    socket.on("close", () => resolve());
    socket.on("error", () => resolve());
  });
  return { ended, text: () => Buffer.concat(kept).toString("utf8"), stop: () => void socket.destroy() };
}
