/** Progress of pull and load, as the docker CLI shows it: bars on a terminal, and elsewhere one line per change. */
import { EngineError } from "@fathom/base";
import type { Output } from "../grammar/command.ts";
import { humanSize } from "@fathom/spec";

export interface ProgressMessage {
  readonly status?: string;
  readonly id?: string;
  readonly stream?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly error?: string;
  readonly errorDetail?: { readonly message?: string };
}

/** `[=====>     ]  1.2MB/3.4MB`, made to fit the terminal. */
export function progressBar(current: number, total: number, columns: number): string {
  if (total <= 0) return current > 0 ? `${humanSize(current)}` : "";
  const width = columns > 110 ? 50 : columns > 90 ? 30 : 0;
  const numbers = `${humanSize(current).padStart(8)}/${humanSize(total)}`;
  if (width === 0) return numbers;
  const filled = Math.min(width, Math.floor((current / total) * width));
  return `[${"=".repeat(filled)}${filled < width ? ">" : ""}${" ".repeat(Math.max(0, width - filled - 1))}] ${numbers}`;
}

/** Prints messages as they arrive. @throws the error that ends the stream */
export async function printProgress(
  messages: AsyncIterable<ProgressMessage>,
  out: Output,
  quiet = false,
): Promise<void> {
  const rows = new Map<string, number>();
  let height = 0;
  for await (const message of messages) {
    const failure = message.errorDetail?.message ?? message.error;
    if (failure !== undefined) throw new EngineError("internal", failure);
    if (quiet) continue;
    if (message.stream !== undefined) {
      out.write(message.stream);
      continue;
    }
    const { status = "", id } = message;
    const { current = 0, total = 0 } = message.progressDetail ?? {};
    if (id === undefined || /^Pulling from |^Pulling repository /.test(status)) {
      out.write(`${id === undefined ? "" : `${id}: `}${status}\n`);
      if (id === undefined) {
        rows.clear();
        height = 0;
      } else if (out.isTerminal && height > 0) height += 1;
      continue;
    }
    if (!out.isTerminal) {
      // Sizes change many times a second, so only a change of the words gets a line.
      if (current > 0 || total > 0) continue;
      out.write(`${id}: ${status}\n`);
      continue;
    }
    let row = rows.get(id);
    if (row === undefined) {
      row = height;
      rows.set(id, height);
      height += 1;
      out.write("\n");
    }
    const up = height - row;
    const bar = progressBar(current, total, out.columns);
    out.write(`\x1b[${up}A\r\x1b[2K${id}: ${status}${bar === "" ? "" : ` ${bar}`}\x1b[${up}B\r`);
  }
}
