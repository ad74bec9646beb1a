/** Reads a multiplexed stream to its end, as text: the output of a health check. */
import { createConnection } from "node:net";
import { FrameSplitter } from "@fathom/spec";

/** Takes over the descriptor. It keeps at most `limit` bytes, and reads and drops the rest. It never rejects. */
export function readFrames(fd: number, limit: number): Promise<string> {
  return new Promise((resolve) => {
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
    const done = (): void => resolve(Buffer.concat(kept).toString("utf8"));
    socket.on("end", () => socket.end());
    socket.on("close", done);
    socket.on("error", done);
  });
}
