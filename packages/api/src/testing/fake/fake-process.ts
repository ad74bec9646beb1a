/** A "process" in this program: its streams are a real socket, its program one of a few built-in ones. */
import { deferred } from "@fathom/base";
import { adopt } from "@fathom/http";
import { frameHeader } from "@fathom/spec";
import type { Socket } from "node:net";

import { socketPair } from "./socket-pair.ts";

/** A piece of output with its header. */
export function frame(stream: 1 | 2, data: Uint8Array): Uint8Array {
  return Buffer.concat([frameHeader(stream, data.length), data]);
}

export class FakeProcess {
  readonly #tty: boolean;
  readonly #sockets = new Set<Socket>();
  readonly #ended = deferred<number>();
  /** All output, as frames (raw for a tty). */
  readonly log: Uint8Array[] = [];
  #over = false;

  constructor(tty: boolean) {
    this.#tty = tty;
  }

  get exit(): Promise<number> {
    return this.#ended.promise;
  }

  get running(): boolean {
    return !this.#over;
  }

  /** A descriptor for a client. Its input reaches the program `cat`; with `closeStdin`, its end too. */
  attach(stdin: boolean, echo: boolean, closeStdin: boolean): number {
    const [mine, theirs] = socketPair();
    const socket = adopt(mine);
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (data: Buffer) => {
      if (stdin && echo) this.print(1, data);
    });
    socket.on("end", () => {
      if (stdin && echo && closeStdin) this.end(0);
    });
    return theirs;
  }

  print(stream: 1 | 2, data: Uint8Array | string): void {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    const out = this.#tty ? Buffer.from(bytes) : frame(stream, bytes);
    this.log.push(out);
    for (const socket of this.#sockets) socket.write(out);
  }

  end(code: number): void {
    if (this.#over) return;
    this.#over = true;
    for (const socket of this.#sockets) socket.end();
    this.#ended.resolve(code);
  }

  /** Runs a program by its name; programs that wait (cat, sleep) end with their input or with `end`. */
  run(command: readonly string[]): void {
    const [program = "", ...words] = command;
    switch (program) {
      case "cat":
      case "sleep":
        return;
      case "echo":
        this.print(1, `${words.join(" ")}\n`);
        return this.end(0);
      case "complain":
        this.print(1, "out\n");
        this.print(2, `${words.join(" ")}\n`);
        return this.end(3);
      case "flood": {
        const chunk = Buffer.alloc(64 * 1024, "x");
        for (let index = 0; index < Number(words[0] ?? 1); index++) this.print(1, chunk);
        return this.end(0);
      }
      case "false":
        return this.end(1);
      default:
        return this.end(0);
    }
  }
}
