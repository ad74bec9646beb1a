/** A client that sends exactly what a test wants, byte by byte. */
import { connect, type Socket } from "node:net";

export class RawClient {
  readonly socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(path: string) {
    this.socket = connect({ path, allowHalfOpen: true });
    this.socket.on("data", (data: Buffer) => {
      this.#received = Buffer.concat([this.#received, data]);
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    this.socket.on("end", end);
    this.socket.on("close", end);
    this.socket.on("error", end);
  }

  get received(): string {
    return this.#received.toString("latin1");
  }

  get ended(): boolean {
    return this.#ended;
  }

  send(text: string | Uint8Array): this {
    this.socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text);
    return this;
  }

  /** Closes this side. */
  halfClose(): this {
    this.socket.end();
    return this;
  }

  /** Waits until the received bytes satisfy `done`. */
  async until(done: (text: string) => boolean, timeoutMs = 5000): Promise<string> {
    const deadline = performance.now() + timeoutMs;
    while (!done(this.received)) {
      if (this.#ended) throw new Error(`the connection ended after ${JSON.stringify(this.received)}`);
      if (performance.now() > deadline) throw new Error(`nothing more after ${JSON.stringify(this.received)}`);
      await Promise.race([new Promise<void>((resolve) => (this.#wake = resolve)), Bun.sleep(50)]);
    }
    return this.received;
  }

  /** Everything until the other side ends; then this side ends too. */
  async all(timeoutMs = 5000): Promise<string> {
    const deadline = performance.now() + timeoutMs;
    while (!this.#ended) {
      if (performance.now() > deadline) throw new Error(`no end after ${JSON.stringify(this.received)}`);
      await Promise.race([new Promise<void>((resolve) => (this.#wake = resolve)), Bun.sleep(50)]);
    }
    this.socket.end();
    return this.received;
  }

  close(): void {
    this.socket.destroy();
  }
}
