/** A connection taken over after the response's head: attach and exec. Half-close works in both directions. */
import { EngineError } from "@fathom/base";
import type { Address } from "./client.ts";

export interface HijackedStream {
  /** True when the daemon says that the bytes are multiplexed frames. */
  readonly multiplexed: boolean;
  /** Bytes from the process, until it ends. */
  readonly output: AsyncIterable<Uint8Array>;
  /** Resolves when the bytes are taken; waits while the daemon is slow. */
  write(data: Uint8Array): Promise<void>;
  /** No more input. */
  end(): void;
  close(): void;
}

const headLimit = 64 * 1024;

export async function hijack(
  address: Address,
  path: string,
  body: string,
  refused: (status: number, text: string) => EngineError,
  unreachable: (error: unknown) => EngineError,
): Promise<HijackedStream> {
  const queue: Uint8Array[] = [];
  let ended = false;
  let failure: Error | undefined;
  let wake: (() => void) | undefined;
  let drained: (() => void) | undefined;
  const signal = (): void => {
    wake?.();
    wake = undefined;
  };
  const handlers = {
    data(_: unknown, data: Uint8Array): void {
      queue.push(new Uint8Array(data));
      signal();
    },
    drain(): void {
      drained?.();
      drained = undefined;
    },
    end(): void {
      ended = true;
      signal();
    },
    close(): void {
      ended = true;
      drained?.();
      signal();
    },
    error(_: unknown, error: Error): void {
      failure = error;
      ended = true;
      drained?.();
      signal();
    },
  };
  let socket: Bun.Socket<undefined>;
  try {
    socket =
      address.kind === "unix"
        ? await Bun.connect({ unix: address.path, allowHalfOpen: true, socket: handlers })
        : await Bun.connect({ hostname: address.hostname, port: address.port, allowHalfOpen: true, socket: handlers });
  } catch (error) {
    throw unreachable(error);
  }

  const write = async (data: Uint8Array): Promise<void> => {
    let offset = 0;
    while (offset < data.length && !ended) {
      const count = socket.write(data, offset, data.length - offset);
      if (count < 0) return;
      offset += count;
      if (offset < data.length) await new Promise<void>((resolve) => (drained = resolve));
    }
  };
  const next = async (): Promise<Uint8Array | undefined> => {
    while (queue.length === 0 && !ended) await new Promise<void>((resolve) => (wake = resolve));
    const chunk = queue.shift();
    if (chunk === undefined && failure !== undefined) throw unreachable(failure);
    return chunk;
  };

  const head = `POST ${path} HTTP/1.1\r\nHost: fathom\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  await write(Buffer.from(head + body));

  let buffer: Buffer = Buffer.alloc(0);
  let split = -1;
  while (split < 0) {
    const chunk = await next();
    if (chunk === undefined || buffer.length > headLimit) {
      socket.end();
      throw unreachable(new Error("the connection ended before an answer"));
    }
    buffer = Buffer.concat([buffer, chunk]);
    split = buffer.indexOf("\r\n\r\n");
  }
  const headText = buffer.subarray(0, split).toString("latin1");
  const rest = buffer.subarray(split + 4);
  if (rest.length > 0) queue.unshift(rest);
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(headText)?.[1] ?? 0);
  if (status !== 101 && status !== 200) {
    const length = Number(/^content-length: *(\d+)/im.exec(headText)?.[1] ?? Number.POSITIVE_INFINITY);
    const chunks: Uint8Array[] = [];
    let size = 0;
    while (size < Math.min(length, headLimit)) {
      const chunk = await next();
      if (chunk === undefined) break;
      chunks.push(chunk);
      size += chunk.length;
    }
    socket.end();
    throw refused(status, Buffer.concat(chunks).toString());
  }

  async function* output(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = await next();
      if (chunk === undefined) return;
      yield chunk;
    }
  }
  return {
    multiplexed: /^content-type: *application\/vnd\.docker\.multiplexed-stream/im.test(headText),
    output: output(),
    write,
    end: () => void socket.shutdown(),
    close: () => void socket.end(),
  };
}

/** Splits Docker's frames: 8-byte header with the stream (1 stdout, 2 stderr) and the length, big-endian. */
export async function* demultiplex(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ readonly stream: number; readonly data: Uint8Array }> {
  let buffer: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    buffer =
      buffer.length === 0
        ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
        : Buffer.concat([buffer, chunk]);
    while (buffer.length >= 8) {
      const stream = buffer[0]!;
      const length = buffer.readUInt32BE(4);
      if (stream > 3) throw new EngineError("data-loss", `unrecognized stream: ${stream}`);
      if (buffer.length < 8 + length) break;
      yield { stream, data: buffer.subarray(8, 8 + length) };
      buffer = buffer.subarray(8 + length);
    }
  }
}
