/** Shared by the tests of this package. */
import type { TarEntry } from "../entry.ts";
import type { TarLimits } from "../limits.ts";
import { TarReader } from "../reader.ts";

export interface ReadEntry extends TarEntry {
  /** The content with filled holes. */
  readonly content: Buffer;
  /** Bytes that came as data. */
  readonly stored: number;
}

/** Reads an archive in chunks of `step` bytes. */
export function readTar(archive: Uint8Array, step = archive.length, limits: Partial<TarLimits> = {}): ReadEntry[] {
  const entries: ReadEntry[] = [];
  let current: TarEntry | undefined;
  let content = Buffer.alloc(0);
  let stored = 0;
  const reader = new TarReader(
    {
      entry(entry) {
        current = entry;
        content = Buffer.alloc(Math.min(entry.size, 1 << 24));
        stored = 0;
      },
      data(chunk, offset) {
        content.set(chunk, offset);
        stored += chunk.length;
      },
      end() {
        entries.push({ ...current!, content, stored });
      },
    },
    limits,
  );
  for (let at = 0; at < archive.length; at += step) reader.push(archive.subarray(at, at + step));
  reader.finish();
  return entries;
}

/** A header block made by hand, as no program writes it. `fields` are [offset, text]. */
export function rawHeader(...fields: readonly (readonly [number, string | Uint8Array])[]): Buffer {
  const block = Buffer.alloc(512);
  block.write("0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00        0", 100, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  for (const [offset, value] of fields)
    block.set(typeof value === "string" ? Buffer.from(value, "latin1") : value, offset);
  return withChecksum(block);
}

export function withChecksum(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** A PAX header with exactly these records. */
export function paxHeader(records: string | Uint8Array, type = "x"): Buffer {
  const body = typeof records === "string" ? Buffer.from(records, "latin1") : records;
  const header = rawHeader([0, "pax"], [124, body.length.toString(8).padStart(11, "0")], [156, type]);
  return Buffer.concat([header, body, Buffer.alloc(-body.length & 511)]);
}

export function paxRecord(key: string, value: string): string {
  const rest = key.length + Buffer.byteLength(value, "latin1") + 3;
  let length = rest + 1;
  while (rest + String(length).length !== length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}
