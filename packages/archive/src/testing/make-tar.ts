/** For tests: an archive of a few entries. */
import { TarWriter, type TarEntryInput } from "../writer.ts";

export type TestEntry = Partial<TarEntryInput> & {
  readonly path: string | Uint8Array;
  readonly text?: string | Uint8Array;
};

/** Files with mode 0644 and a time with nanoseconds, unless an entry says something else. */
export function makeTar(entries: readonly TestEntry[]): Buffer {
  const chunks: Uint8Array[] = [];
  const writer = new TarWriter((chunk) => chunks.push(chunk));
  for (const { text = "", ...entry } of entries) {
    const body = Buffer.from(text);
    writer.entry({ kind: "file", mode: 0o644, size: body.length, mtimeNs: 1_600_000_000_123_456_789n, ...entry });
    if (body.length > 0) writer.data(body);
  }
  writer.finish();
  return Buffer.concat(chunks);
}
