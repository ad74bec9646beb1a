import { describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { detectCompression } from "@fathom/archive";
import { createLayerDecompressor } from "./decompress.ts";

function random(length: number): Buffer {
  // Half of it can be compressed, so that both stored and deflated blocks occur.
  const data = Buffer.alloc(length, "compressible ");
  for (let at = 0; at < length; at += 200_000) crypto.getRandomValues(data.subarray(at, Math.min(at + 65_536, length)));
  return data;
}

async function run(kind: "gzip" | "zstd" | "none", input: Uint8Array, step: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  const stream = createLayerDecompressor(kind, (chunk) => parts.push(Buffer.from(chunk)));
  try {
    for (let at = 0; at < input.length; at += step) await stream.write(input.subarray(at, at + step));
    await stream.finish();
  } finally {
    stream.abort();
    stream.abort();
  }
  return Buffer.concat(parts);
}

const data = random(1_500_000);
const first = data.subarray(0, 700_000);
const second = data.subarray(700_000);

describe.each([
  ["gzip", (bytes: Uint8Array) => gzipSync(bytes)],
  ["zstd", (bytes: Uint8Array) => zstdCompressSync(bytes)],
] as const)("%s", (kind, compress) => {
  test("in pieces of any size", async () => {
    const input = compress(data);
    expect(detectCompression(input)).toBe(kind);
    for (const step of [input.length, 65_536, 4_099]) expect((await run(kind, input, step)).equals(data)).toBe(true);
    expect(await run(kind, compress(Buffer.alloc(0)), 3)).toHaveLength(0);
    expect((await run(kind, compress(data.subarray(0, 3000)), 1)).equals(data.subarray(0, 3000))).toBe(true);
  });
  test("several members, cut at any place", async () => {
    const input = Buffer.concat([compress(first), compress(Buffer.alloc(0)), compress(second)]);
    for (const step of [input.length, 50_000, 1_021]) expect((await run(kind, input, step)).equals(data)).toBe(true);
    // The border between two members is the border between two writes.
    const parts: Buffer[] = [];
    const stream = createLayerDecompressor(kind, (chunk) => parts.push(Buffer.from(chunk)));
    await stream.write(compress(first));
    await stream.write(compress(second));
    await stream.finish();
    expect(Buffer.concat(parts).equals(data)).toBe(true);
  });
  test("rejects broken streams", async () => {
    const input = Buffer.from(compress(data));
    // zstd has no checksum here: errors inside a stored block are found by the digests.
    input.fill(0xff, 4, 60);
    await expect(run(kind, input, 65_536)).rejects.toThrow("stream is broken");
    await expect(run(kind, Buffer.from("no such stream at all, really"), 7)).rejects.toThrow("stream is broken");
  });
});

test("a gzip stream that ends early is incomplete; zeros after the end are padding", async () => {
  const input = gzipSync(data);
  await expect(run("gzip", input.subarray(0, input.length - 9), 65_536)).rejects.toThrow("stream is broken");
  expect((await run("gzip", Buffer.concat([input, Buffer.alloc(1000)]), 65_536)).equals(data)).toBe(true);
});

test("padding of any length blocks nothing", async () => {
  const input = Buffer.concat([gzipSync(data), Buffer.alloc(8_000_000)]);
  expect((await run("gzip", input, 65_536)).equals(data)).toBe(true);
});

test("an error of the sink comes out of the stream", async () => {
  const stream = createLayerDecompressor("gzip", () => {
    throw new Error("the disk is full");
  });
  const writing = async (): Promise<void> => {
    await stream.write(gzipSync(data));
    await stream.finish();
  };
  await expect(writing()).rejects.toThrow("the disk is full");
  stream.abort();
});

test("a highly compressed stream comes out in pieces of limited size", async () => {
  const zeros = Buffer.alloc(50_000_000);
  let total = 0;
  let largest = 0;
  const stream = createLayerDecompressor("gzip", (chunk) => {
    total += chunk.length;
    largest = Math.max(largest, chunk.length);
  });
  await stream.write(gzipSync(zeros));
  await stream.finish();
  expect(total).toBe(zeros.length);
  expect(largest).toBeLessThanOrEqual(256 * 1024);
});

test("bytes without compression pass unchanged", async () => {
  expect(detectCompression(Buffer.from("a tar"))).toBe("none");
  expect((await run("none", data, 100_000)).equals(data)).toBe(true);
});
