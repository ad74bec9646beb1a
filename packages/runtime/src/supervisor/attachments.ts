/** Byte streams between a client and a process: both ends, and which streams of the process they carry. */
import { SOCK_STREAM, type Sys } from "@fathom/sys";
import type { Attachment, AttachOptions } from "../contract.ts";
import { attachFlags } from "../connection/protocol.ts";

/** The ends of attachments: `remote` go to the supervisor and are closed here, `local` belong to the caller. */
export interface AttachmentPairs {
  readonly local: readonly Attachment[];
  readonly remote: readonly number[];
}

export function openAttachments(sys: Pick<Sys, "socketpair" | "close">, count: number): AttachmentPairs {
  const local: Attachment[] = [];
  const remote: number[] = [];
  try {
    for (let index = 0; index < count; index++) {
      const [mine, theirs] = sys.socketpair(SOCK_STREAM, true);
      local.push({ fd: mine });
      remote.push(theirs);
    }
  } catch (error) {
    closeAll(sys, [...local.map(({ fd }) => fd), ...remote]);
    throw error;
  }
  return { local, remote };
}

export function closeAll(sys: Pick<Sys, "close">, fds: readonly number[]): void {
  for (const fd of fds) sys.close(fd);
}

export function attachMask(options: AttachOptions): number {
  return (
    (options.stdin ? attachFlags.stdin : 0) |
    (options.stdout ? attachFlags.stdout : 0) |
    (options.stderr ? attachFlags.stderr : 0) |
    (options.closeStdin ? attachFlags.closeStdin : 0)
  );
}
