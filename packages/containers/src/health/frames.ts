/** Reads a multiplexed stream to its end, as text: what a health check printed. */
import { createConnection } from "node:net";
import type { Sys } from "@fathom/sys";

/** Takes over the descriptor. At most `limit` bytes are kept; the rest is read and dropped. Never rejects. */
export function readFrames(_sys: Sys, fd: number, limit: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ fd } as unknown as { path: string });
    let buffered: Buffer = Buffer.alloc(0);
    const kept: Buffer[] = [];
    let size = 0;
    socket.on("data", (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 8) {
        const length = buffered.readUInt32BE(4);
        if (buffered.length < 8 + length) break;
        const body = buffered.subarray(8, 8 + Math.min(length, Math.max(0, limit - size)));
        kept.push(Buffer.from(body));
        size += body.length;
        buffered = buffered.subarray(8 + length);
      }
    });
    const done = (): void => resolve(Buffer.concat(kept).toString("utf8"));
    socket.on("end", () => socket.end());
    socket.on("close", done);
    socket.on("error", done);
  });
}
