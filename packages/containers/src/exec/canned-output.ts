/** A stream with fixed content: what a process would have said, had it started. */
import { SOCK_STREAM, type Sys } from "@fathom/sys";

/** Descriptor of a non-blocking socket that gives `text` (as a frame of stdout unless `tty`) and then ends. */
export function cannedOutput(sys: Sys, text: string, tty: boolean): number {
  const [ours, theirs] = sys.socketpair(SOCK_STREAM, true);
  try {
    const body = Buffer.from(text);
    const header = Buffer.alloc(tty ? 0 : 8);
    if (!tty) {
      header[0] = 1;
      header.writeUInt32BE(body.length, 4);
    }
    // A fresh socket takes far more than one error message.
    sys.write(ours, Buffer.concat([header, body]));
  } finally {
    sys.close(ours);
  }
  return theirs;
}
