import { describe, expect, test } from "bun:test";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import { createDecompressor, createGzipCompressor, detectCompression, type Compression } from "./compression.ts";

const text = Buffer.from("some text that repeats, ".repeat(100_000));

async function decompress(kind: Compression | "auto", chunks: readonly Uint8Array[]): Promise<Buffer> {
  const out: Uint8Array[] = [];
  const decompressor = createDecompressor(kind, (chunk) => out.push(chunk));
  for (const chunk of chunks) await decompressor.write(chunk);
  await decompressor.finish();
  return Buffer.concat(out);
}

function split(data: Uint8Array, step: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(data.length / step) }, (_, index) =>
    data.subarray(index * step, (index + 1) * step),
  );
}

test("compressions are recognised by their first bytes", () => {
  expect(detectCompression(gzipSync("x"))).toBe("gzip");
  expect(detectCompression(zstdCompressSync(Buffer.from("x")))).toBe("zstd");
  expect(detectCompression(Buffer.from([0x51, 0x2a, 0x4d, 0x18, 1, 0, 0, 0]))).toBe("zstd");
  expect(detectCompression(Buffer.from("BZh91AY"))).toBe("bzip2");
  expect(detectCompression(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]))).toBe("xz");
  expect(detectCompression(Buffer.from("ustar"))).toBe("none");
  expect(detectCompression(new Uint8Array(0))).toBe("none");
});

describe.each([1, 7, 65_536])("in chunks of %d", (step) => {
  test("gzip, several members, zstd, none", async () => {
    const part = step < 100 ? text.subarray(0, 5000) : text;
    const gzip = gzipSync(part);
    expect((await decompress("auto", split(gzip, step))).equals(part)).toBe(true);
    expect((await decompress("auto", split(Buffer.concat([gzip, gzip, gzip]), step))).length).toBe(3 * part.length);
    const zstd = zstdCompressSync(part);
    expect((await decompress("auto", split(zstd, step))).equals(part)).toBe(true);
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    expect((await decompress("auto", split(Buffer.concat([skippable, zstd]), step))).equals(part)).toBe(true);
    expect((await decompress("auto", split(part, step))).equals(part)).toBe(true);
  });
});

test("short and empty streams", async () => {
  expect((await decompress("auto", [])).length).toBe(0);
  expect((await decompress("auto", [Buffer.from("ab")])).toString()).toBe("ab");
});

test.each([
  ["cut", gzipSync(text).subarray(0, 1000), /unexpected EOF/],
  ["cut in its head", gzipSync(text).subarray(0, 7), /unexpected EOF/],
  ["with a wrong checksum", damaged(gzipSync("hello"), -5), /incorrect data check/],
  ["with a wrong length", damaged(gzipSync("hello"), -1), /incorrect length check/],
  ["followed by junk", Buffer.concat([gzipSync("hello"), Buffer.from("junk!")]), /incorrect header/],
])("gzip %s is data-loss", async (_, data, message) => {
  await expect(decompress("gzip", split(data, 300))).rejects.toMatchObject({
    code: "data-loss",
    message: expect.stringMatching(message),
  });
});

test("broken zstd is data-loss", async () => {
  await expect(decompress("zstd", [damaged(zstdCompressSync(text), -12), Buffer.from("junk")])).rejects.toMatchObject({
    code: "data-loss",
  });
});

test("the error for bzip2 and xz names them", async () => {
  await expect(decompress("auto", [Buffer.from("BZh91AY&SY")])).rejects.toThrow(/bzip2 compression is not supported/);
  await expect(decompress("auto", [Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0])])).rejects.toThrow(
    /xz compression/,
  );
});

test("an error of the sink is thrown, and abort ends it", async () => {
  const decompressor = createDecompressor("gzip", () => {
    throw new Error("disk on fire");
  });
  const feed = async (): Promise<void> => {
    for (const chunk of split(gzipSync(text), 1000)) await decompressor.write(chunk);
    await decompressor.finish();
  };
  await expect(feed()).rejects.toThrow("disk on fire");
  const aborted = createDecompressor("gzip", () => undefined);
  void aborted.write(gzipSync(text));
  aborted.abort();
  aborted.abort();
  await expect(aborted.finish()).rejects.toMatchObject({ code: "aborted" });
});

test("gzip is written, and is the same each time", async () => {
  async function compress(): Promise<Buffer> {
    const out: Uint8Array[] = [];
    const compressor = createGzipCompressor((chunk) => out.push(chunk));
    for (const chunk of split(text, 10_000)) await compressor.write(chunk);
    await compressor.finish();
    return Buffer.concat(out);
  }
  const first = await compress();
  expect(gunzipSync(first).equals(text)).toBe(true);
  expect((await compress()).equals(first)).toBe(true);
});

function damaged(data: Buffer, at: number): Buffer {
  const copy = Buffer.from(data);
  copy[copy.length + at]! ^= 0x55;
  return copy;
}
