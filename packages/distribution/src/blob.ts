/**
 * Blobs, as a stream in order, and each byte at most once. After a broken connection, the client asks for the rest with Range. If the registry
 * ignores Range, the client skips the bytes that it already has. It never returns more bytes than the descriptor says.
 */
import { EngineError, systemClock, type Clock } from "@fathom/base";
import type { Descriptor } from "@fathom/spec";
import type { BlobSource } from "./contract.ts";
import { TransportError } from "./errors.ts";
import { delayMs } from "./transport/retry.ts";
import { Session, type SessionState } from "./session.ts";
import type { Answer } from "./transport/transport.ts";

/** A try that received fewer bytes than this counts as fruitless. */
const progressBytes = 64 * 1024;
/**
 * The runtime drops the bytes that arrived just before a connection broke. If every connection breaks early, no try would ever make progress.
 * So after a fruitless try the client asks for a smaller piece, a quarter each time: a piece that arrives whole is not lost.
 */
const firstWindowBytes = 1024 * 1024;
const smallestWindowBytes = 64 * 1024;
/** After this many complete pieces in a row, the client tries a larger piece. */
const windowsBeforeLarger = 16;

function isSessionState(value: unknown): value is SessionState {
  return typeof value === "object" && value !== null && "endpoints" in value && Array.isArray(value.endpoints);
}

/**
 * The bytes of a blob in order. The description of the blob is plain data, so that a worker thread can receive it. After a broken connection
 * the download continues with Range and asks for no byte twice. It never returns more bytes than the descriptor says. This code checks the
 * size; the consumer verifies the digest, because the consumer computes the hash anyway.
 */
export function openBlob(
  source: BlobSource,
  descriptor: Descriptor,
  signal: AbortSignal,
  clock: Clock = systemClock,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { reference, config, credentials } = source;
  const state = isSessionState(source.session) ? source.session : undefined;
  const session = new Session({ reference, config, credentials, clock, state });
  return streamBlob(session, reference.repository, descriptor, { attempts: config.attempts, signal, clock });
}

export async function* streamBlob(
  session: Session,
  repository: string,
  descriptor: Descriptor,
  options: { readonly attempts: number; readonly signal: AbortSignal | undefined; readonly clock: Clock },
): AsyncGenerator<Uint8Array, void, undefined> {
  const { digest, size } = descriptor;
  let received = 0;
  let failures = 0;
  let useRange = true;
  let window: number | undefined;
  let whole = 0;
  while (received < size || size === 0) {
    const start = received;
    const end = window === undefined || !useRange ? size : Math.min(received + window, size);
    try {
      const answer = await session.request({
        method: "GET",
        path: `${repository}/blobs/${digest}`,
        headers: useRange ? rangeOf(received, end, size) : {},
        signal: options.signal,
        allowed: [416],
      });
      const skip = await placeOf(answer, received, descriptor);
      if (skip === "no-range") {
        useRange = false;
        throw new TransportError("cut", `${digest}: the registry does not serve the rest of the blob`);
      }
      let position = skip === "continues" ? received : 0;
      for await (const chunk of answer.chunks()) {
        const fresh = position >= received ? chunk : chunk.subarray(Math.min(received - position, chunk.length));
        position += chunk.length;
        if (position > size) throw longer(descriptor, position);
        if (fresh.length === 0) continue;
        received += fresh.length;
        yield fresh;
      }
      if (received === size) return;
      if (received === end) {
        failures = 0;
        if (++whole % windowsBeforeLarger === 0 && window !== undefined) window *= 2;
        continue;
      }
      throw new TransportError("cut", `${digest}: the transfer ended after ${received} of ${size} bytes`);
    } catch (error) {
      // All bytes have arrived, so it does not matter how the connection ended. An empty blob still needs an answer.
      if (received === size && size > 0 && error instanceof TransportError) return;
      const passes =
        error instanceof TransportError &&
        (error.failure === "cut" || error.failure === "idle" || (error.failure === "connect" && received > 0));
      if (!passes) throw error;
      const fruitless = received - start < progressBytes;
      failures = fruitless ? failures + 1 : 1;
      whole = 0;
      if (fruitless && error.failure === "cut")
        window = window === undefined ? firstWindowBytes : Math.max(window >> 2, smallestWindowBytes);
      if (failures >= options.attempts)
        throw new EngineError(
          "unavailable",
          `download of ${digest} failed after ${failures} tries, with ${received} of ${size} bytes there: ${error.message}`,
          { cause: error },
        );
      await options.clock.sleep(delayMs(failures - 1, undefined), options.signal).catch((reason: unknown) => {
        throw new EngineError("aborted", `download of ${digest} was cancelled`, { cause: reason });
      });
    }
  }
}

function rangeOf(from: number, end: number, size: number): Record<string, string> {
  if (end < size) return { range: `bytes=${from}-${end - 1}` };
  return from > 0 ? { range: `bytes=${from}-` } : {};
}

/** How an answer continues the blob: from the present position, or from the start. Impossible lengths are rejected at once. */
async function placeOf(
  answer: Answer,
  received: number,
  descriptor: Descriptor,
): Promise<"continues" | "from-start" | "no-range"> {
  const { size, digest } = descriptor;
  if (answer.status === 416) {
    await answer.discard();
    return "no-range";
  }
  if (answer.status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(answer.headers.get("content-range") ?? "");
    if (Number(range?.[1]) === received && (range?.[2] === "*" || Number(range?.[2]) === size)) return "continues";
    await answer.discard();
    return "no-range";
  }
  if (answer.status !== 200) {
    await answer.discard();
    throw new EngineError("unavailable", `${digest}: the registry answered a blob request with ${answer.status}`);
  }
  const length = answer.headers.get("content-length");
  const encoded = answer.headers.get("content-encoding") !== null;
  if (length !== null && !encoded && Number(length) !== size) {
    await answer.discard();
    if (Number(length) > size) throw longer(descriptor, Number(length));
    throw new EngineError(
      "data-loss",
      `${digest} has ${length} bytes at the registry, not ${size} as its descriptor says`,
    );
  }
  return "from-start";
}

function longer(descriptor: Descriptor, atLeast: number): EngineError {
  return new EngineError(
    "data-loss",
    `${descriptor.digest} has at least ${atLeast} bytes at the registry, more than the ${descriptor.size} of its descriptor`,
  );
}
