/** A byte stream of a process: a connected socket descriptor, owned by who gets it. */
export interface StreamAttachment {
  /** Non-blocking stream socket; bytes from it go to the client as they are (multiplexed frames unless `tty`). */
  readonly fd: number;
  readonly tty: boolean;
  /** Key sequence bytes that detach; empty for none. The server looks for it in what the client sends. */
  readonly detachKeys: Uint8Array;
  /** To be called when the client has detached by keys. */
  detached(): void;
}

/** Which streams a client is connected to. */
export interface StreamSelection {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Old output first. */
  readonly logs: boolean;
  /** What comes from now on. */
  readonly stream: boolean;
}
