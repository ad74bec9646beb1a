/**
 * One connection to the daemon, with the words for what is wrong with its answers. Over a socket, since that starts faster than `fetch` in a program that
 * lives for milliseconds, and since attach needs the bare socket anyway.
 */
import { EngineError } from "@fathom/base";
import { ClientConnection, HttpError, openSocket, type ParsedResponse } from "@fathom/http";
import type { Address } from "./address.ts";

export class Connection extends ClientConnection {
  /** Rejects with the system's error when nobody answers. */
  static async open(address: Address): Promise<Connection> {
    return new Connection(await openSocket(address), cut);
  }

  /** @throws Error when the connection ends before an answer, data-loss when it is none */
  override async readHead(method: string): Promise<ParsedResponse> {
    try {
      return await super.readHead(method);
    } catch (error) {
      throw inWords(error);
    }
  }

  /** @throws data-loss when the answer is not whole, or no HTTP */
  override async *body(answer: ParsedResponse, done: (reusable: boolean) => void): AsyncGenerator<Buffer> {
    try {
      yield* super.body(answer, done);
    } catch (error) {
      throw inWords(error);
    }
  }
}

function cut(): EngineError {
  return new EngineError("data-loss", "the daemon ended the connection within its answer");
}

function inWords(error: unknown): unknown {
  return error instanceof HttpError
    ? new EngineError("data-loss", "the daemon's answer is not HTTP", { cause: error })
    : error;
}
