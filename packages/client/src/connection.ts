/**
 * One connection to the daemon, and the messages for wrong answers. It uses a socket: in a program that lives for milliseconds a socket starts faster than
 * `fetch`, and attach needs the socket itself anyway.
 */
import { EngineError } from "@fathom/base";
import { ClientConnection, HttpError, openSocket, type ParsedResponse } from "@fathom/http";
import type { Address } from "./address.ts";

export class Connection extends ClientConnection {
  /** Rejects with the system's error when nobody listens. */
  static async open(address: Address): Promise<Connection> {
    return new Connection(await openSocket(address), cut);
  }

  /** @throws Error when the connection ends before an answer, data-loss when the answer is not HTTP */
  override async readHead(method: string): Promise<ParsedResponse> {
    try {
      return await super.readHead(method);
    } catch (error) {
      throw inWords(error);
    }
  }

  /** @throws data-loss when the answer is incomplete or is not HTTP */
  override async *body(answer: ParsedResponse, done: (reusable: boolean) => void): AsyncGenerator<Buffer> {
    try {
      yield* super.body(answer, done);
    } catch (error) {
      throw inWords(error);
    }
  }
}

function cut(): EngineError {
  return new EngineError("data-loss", "the daemon closed the connection in the middle of its answer");
}

function inWords(error: unknown): unknown {
  return error instanceof HttpError
    ? new EngineError("data-loss", "the daemon's answer is not HTTP", { cause: error })
    : error;
}
