/** A stream with fixed content: the output that stands for a process that could not start. */
import { frameHeader } from "@fathom/spec";
import { SOCK_STREAM, type Sys } from "@fathom/sys";

/** Descriptor of a non-blocking socket that gives `text` (as a frame of stdout unless `tty`) and then ends. */
export function cannedOutput(sys: Sys, text: string, tty: boolean): number {
  const [ours, theirs] = sys.socketpair(SOCK_STREAM, true);
  try {
    const body = Buffer.from(text);
    // A new socket has room for much more than one error message.
    sys.write(ours, tty ? body : Buffer.concat([frameHeader(1, body.length), body]));
  } finally {
    sys.close(ours);
  }
  return theirs;
}
