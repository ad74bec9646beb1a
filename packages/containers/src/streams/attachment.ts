/** A byte stream of a process: a connected socket descriptor. The receiver owns it. */
export interface StreamAttachment {
  /** Non-blocking stream socket. Its bytes go to the client unchanged (multiplexed frames unless `tty`). */
  readonly fd: number;
  readonly tty: boolean;
  /** The bytes of the detach keys; empty for none. The server looks for them in the client's input. */
  readonly detachKeys: Uint8Array;
  /** Call it when the client has detached with keys. */
  detached(): void;
}

/** The streams to which a client is connected. */
export interface StreamSelection {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Old output first. */
  readonly logs: boolean;
  /** Output from now on. */
  readonly stream: boolean;
}
