/** Copies between this call's own terminal and that of a container, while the call waits for the container. */
import type { Sys } from "@fathom/sys";

type TerminalSys = Pick<Sys, "read" | "write" | "close" | "setNonBlocking">;

export interface TerminalCopy {
  /** Resolves when the rest of the output is written. */
  finish(): Promise<void>;
}

const lookMs = 5;
/** Output that comes after the end of the process. */
const restMs = 200;

export function copyTerminal(sys: TerminalSys, master: number): TerminalCopy {
  sys.setNonBlocking(master, true);
  const input = process.stdin;
  const raw = input.isTTY === true;
  if (raw) input.setRawMode(true);
  input.on("data", (part: Buffer) => void writeAll(sys, master, part));
  input.resume();
  const buffer = Buffer.alloc(65_536);
  let ended = false;
  /** False when there is nothing now. Waits while the reader of the output does not read. */
  const copyOnce = async (): Promise<boolean> => {
    let length: number;
    try {
      length = sys.read(master, buffer);
    } catch {
      // EIO: nobody has the other end any more.
      ended = true;
      return false;
    }
    if (length === 0) ended = true;
    if (length <= 0) return false;
    const taken = process.stdout.write(Buffer.from(buffer.subarray(0, length)));
    if (!taken) await new Promise<void>((resolve) => void process.stdout.once("drain", resolve));
    return true;
  };
  const copying = (async () => {
    while (!ended) if (!(await copyOnce())) await Bun.sleep(lookMs);
  })();
  return {
    async finish() {
      await Promise.race([copying, Bun.sleep(restMs)]);
      ended = true;
      input.pause();
      if (raw) input.setRawMode(false);
      sys.close(master);
    },
  };
}

async function writeAll(sys: TerminalSys, master: number, part: Uint8Array): Promise<void> {
  for (let done = 0; done < part.length;) {
    try {
      const wrote = sys.write(master, part.subarray(done));
      if (wrote > 0) done += wrote;
      else await Bun.sleep(lookMs);
    } catch {
      // The process has ended.
      return;
    }
  }
}

/** The size of this call's terminal; undefined when it has none. */
export function ownSize(): { readonly rows: number; readonly columns: number } | undefined {
  const { rows, columns } = process.stdout;
  return process.stdout.isTTY === true && rows > 0 ? { rows, columns } : undefined;
}
