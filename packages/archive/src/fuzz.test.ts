/** Changed archives: for any input, the reader ends with entries or with its own error, and uses little memory. */
import { expect, test } from "bun:test";
import { isEngineError } from "@fathom/base";
import { gzipSync } from "node:zlib";
import { createDecompressor } from "./compression.ts";
import { TarReader } from "./reader.ts";
import { paxHeader, paxRecord, rawHeader, withChecksum } from "./testing/read-tar.ts";
import { TarWriter } from "./writer.ts";
import { randomFrom } from "@fathom/base/testing";

function sample(): Buffer {
  const chunks: Uint8Array[] = [];
  const writer = new TarWriter((chunk) => chunks.push(chunk));
  writer.entry({ kind: "directory", path: "d/", mode: 0o755 });
  writer.file({ path: "d/file", mode: 0o644, mtimeNs: 5n }, Buffer.alloc(1500, "x"));
  writer.entry({ kind: "symlink", path: "d/ü", linkPath: "x".repeat(200), mode: 0o777 });
  writer.file(
    { path: "y".repeat(300), mode: 0o644, xattrs: [{ name: "user.a", value: Buffer.alloc(30) }] },
    Buffer.alloc(10),
  );
  writer.finish();
  return Buffer.concat([
    paxHeader(paxRecord("mtime", "7.5"), "g"),
    paxHeader(paxRecord("GNU.sparse.map", "0,10,100,10") + paxRecord("GNU.sparse.size", "200")),
    rawHeader([0, "sparse0"], [124, "00000000024"]),
    Buffer.alloc(512),
    paxHeader(paxRecord("GNU.sparse.major", "1") + paxRecord("GNU.sparse.realsize", "300")),
    rawHeader([0, "sparse1"], [124, "00000001024"]),
    Buffer.from("2\n0\n10\n100\n10\n".padEnd(512, "\0")),
    Buffer.alloc(512),
    rawHeader(
      [0, "old"],
      [124, "00000000012"],
      [156, "S"],
      [257, "ustar  \0"],
      [386, "00000000000\x0000000000012\0"],
      [483, "00000000764"],
    ),
    Buffer.alloc(512),
    ...chunks,
  ]);
}

test("ten thousand mutated archives", () => {
  const original = sample();
  let refused = 0;
  let accepted = 0;
  for (let seed = 1; seed <= 10_000; seed++) {
    const { below: next } = randomFrom(seed);
    let archive = Buffer.from(original);
    for (let count = 1 + next(4); count > 0; count--) {
      const at = next(archive.length);
      switch (next(6)) {
        case 0:
          archive[at] = next(256);
          break;
        case 1:
          archive[at]! ^= 1 << next(8);
          break;
        case 2:
          archive = archive.subarray(0, at + 1);
          break;
        case 3:
          archive.copyWithin(at, next(archive.length), next(archive.length));
          break;
        case 4:
          archive.fill(next(256), at, Math.min(archive.length, at + next(40)));
          break;
        default: {
          // With a right checksum, a changed header is read further.
          const block = at & ~511;
          if (block + 512 > archive.length) break;
          archive[block + next(512)] = next(4) === 0 ? next(256) : 0x30 + next(10);
          withChecksum(archive.subarray(block, block + 512) as Buffer);
        }
      }
    }
    let bytes = 0;
    try {
      const reader = new TarReader(
        {
          entry: (entry) => expect(entry.path.length).toBeGreaterThan(0),
          data(chunk, offset) {
            expect(offset).toBeGreaterThanOrEqual(0);
            bytes += chunk.length;
          },
          end() {},
        },
        { maxTotalBytes: 1 << 30 },
      );
      const step = 1 + next(2000);
      for (let at = 0; at < archive.length; at += step) reader.push(archive.subarray(at, at + step));
      reader.finish();
      accepted++;
    } catch (error) {
      if (!isEngineError(error)) throw new Error(`seed ${seed}`, { cause: error });
      refused++;
    }
    expect(bytes).toBeLessThanOrEqual(archive.length);
  }
  // Both outcomes occur, so the test really tests both.
  expect(refused).toBeGreaterThan(1000);
  expect(accepted).toBeGreaterThan(1000);
});

test("changed gzip streams end in data or an error of ours", async () => {
  const original = gzipSync(sample());
  let failed = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const { below: next } = randomFrom(seed);
    const data = Buffer.from(original);
    for (let count = 1 + next(3); count > 0; count--) data[next(data.length)] = next(256);
    const decompressor = createDecompressor("gzip", () => undefined);
    try {
      await decompressor.write(data);
      await decompressor.finish();
    } catch (error) {
      if (!isEngineError(error, "data-loss")) throw new Error(`seed ${seed}`, { cause: error });
      failed++;
    }
  }
  expect(failed).toBeGreaterThan(200);
});
