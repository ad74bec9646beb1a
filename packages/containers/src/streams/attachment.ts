import type { Attachment } from "@fathom/runtime";
import type { Sys } from "@fathom/sys";

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

/** The stream for the client. Undefined without an attachment, and when the client has already hung up: then the stream is closed. */
export function streamFor(
  sys: Pick<Sys, "close">,
  attachment: Attachment | undefined,
  signal: AbortSignal,
  about: Omit<StreamAttachment, "fd">,
): StreamAttachment | undefined {
  if (attachment === undefined) return undefined;
  if (!signal.aborted) return { fd: attachment.fd, ...about };
  sys.close(attachment.fd);
  return undefined;
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
