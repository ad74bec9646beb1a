/** The daemon's side of one connection to a name helper. */
import { connect, type Socket } from "node:net";
import { EngineError, startTimer } from "@fathom/base";
import { LineReader, readResult, type Call, type Result } from "./messages.ts";

/** The connection ended before the result of a call came. */
export class HelperLost extends Error {}

export class HelperConnection {
  readonly #socket: Socket;
  readonly #waiting: ((result: Result | HelperLost) => void)[] = [];
  readonly #patienceMs: number;
  readonly #onHang: () => void;
  #open = true;
  onEnd: () => void = () => undefined;

  /**
   * @param fd A connected stream socket; this object owns it.
   * @param patienceMs How long a helper may take for a call. Then it hangs: `onHang` is called, and the connection ends.
   */
  constructor(fd: number, patienceMs: number, onHang: () => void) {
    this.#patienceMs = patienceMs;
    this.#onHang = onHang;
    const target: { fd: number; path: string } = { fd, path: "" };
    this.#socket = connect(target);
    this.#socket.setEncoding("utf8");
    // A daemon that has nothing else to do may end.
    this.#socket.unref();
    const lines = new LineReader();
    this.#socket.on("data", (chunk) => {
      try {
        for (const line of lines.push(String(chunk))) this.#waiting.shift()?.(readResult(line));
      } catch {
        this.close();
      }
    });
    this.#socket.on("error", () => undefined);
    this.#socket.on("close", () => {
      this.#open = false;
      // First, so that a call that is made again waits for the new helper.
      this.onEnd();
      for (const give of this.#waiting.splice(0)) give(new HelperLost("the name helper has ended"));
    });
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** No call waits for its result. */
  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }

  /** @returns warnings. @throws internal with the helper's reason, HelperLost */
  call(call: Call): Promise<readonly string[]> {
    if (!this.#open) return Promise.reject(new HelperLost("the name helper has ended"));
    return new Promise((resolve, reject) => {
      const stopTimer = startTimer(() => {
        this.#onHang();
        this.close();
      }, this.#patienceMs);
      this.#waiting.push((result) => {
        stopTimer();
        if (result instanceof HelperLost) reject(result);
        else if ("error" in result) reject(new EngineError("internal", result.error));
        else resolve(result.warnings);
      });
      this.#socket.write(`${JSON.stringify(call)}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
