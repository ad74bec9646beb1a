/** Small files of this machine's own: those of the kernel in /proc and /sys, and those in /etc. */
import { readFileSync } from "node:fs";

/** The text of a file that this machine may lack; undefined when it cannot be read. Not for files that users name: the call blocks the thread. */
export function hostText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
