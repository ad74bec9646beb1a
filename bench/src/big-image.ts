/**
 * The image for the pull row: 5 layers, 1.5 GB unpacked, 60 000 files. Most files are small, as in an image of an interpreted language.
 * Contents come from a fixed seed, so every machine measures the same bytes; compression removes about half of them.
 */
import {
  mkdirSync,
  existsSync,
  openSync,
  closeSync,
  writeSync,
  writeFileSync,
  readFileSync,
  renameSync,
} from "node:fs";
import { join } from "node:path";
import { createGzip } from "node:zlib";
import { once } from "node:events";

export const LAYER_COUNT = 5;
const FILES_PER_LAYER = 12_000;
const LAYER_BYTES = 300_000_000;
const DIRECTORY_FILES = 40;
const POOL_BYTES = 8 * 1024 * 1024;

/** xorshift32: gives the same numbers on every machine. */
function generator(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

/** Bytes for the contents of files: parts with random bytes and parts with words. */
function makePool(): Uint8Array {
  const next = generator(20_261_124);
  const words = Array.from({ length: 400 }, () =>
    next()
      .toString(36)
      .slice(0, 3 + (next() % 6)),
  );
  const pool = Buffer.alloc(POOL_BYTES);
  for (let at = 0; at < POOL_BYTES;) {
    if (next() % 3 === 0) {
      const length = Math.min(1024 + (next() % 3072), POOL_BYTES - at);
      for (let index = 0; index < length; index++) pool[at + index] = next() & 0xff;
      at += length;
    } else {
      let text = "";
      while (text.length < 4096) text += `${words[next() % words.length]} `;
      at += pool.write(text, at, "latin1");
    }
  }
  return pool;
}

function header(path: string, type: "0" | "5", size: number): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, "0")}\0`;
  block.write(path, 0, 100, "latin1");
  block.write(octal(type === "5" ? 0o755 : 0o644, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(1_700_000_000, 12), 136);
  block.write("        ", 148);
  block.write(type, 156);
  block.write("ustar\x0000", 257);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0`, 148);
  return block;
}

/** Sizes of a layer's files: nine of ten are below 16 KiB; the others share the rest of the layer's bytes. */
function fileSizes(next: () => number): number[] {
  const sizes: number[] = [];
  let left = LAYER_BYTES;
  const large = FILES_PER_LAYER / 10;
  for (let index = 0; index < FILES_PER_LAYER - large; index++) {
    const size = next() % 16_384;
    sizes.push(size);
    left -= size;
  }
  for (let index = 0; index < large; index++) sizes.push(Math.floor(left / large));
  return sizes;
}

/** The entries of one layer as tar bytes, piece by piece. */
function* layerPieces(layer: number, pool: Uint8Array): Generator<Uint8Array> {
  const next = generator(layer + 1);
  const sizes = fileSizes(next);
  const top = `opt/layer${layer}`;
  yield header("opt/", "5", 0);
  yield header(`${top}/`, "5", 0);
  for (const [index, size] of sizes.entries()) {
    // The large files are spread among the small ones.
    const directory = `${top}/d${Math.floor(index / DIRECTORY_FILES)}`;
    if (index % DIRECTORY_FILES === 0) yield header(`${directory}/`, "5", 0);
    yield header(`${directory}/file-${index}.dat`, "0", size);
    for (let left = size; left > 0;) {
      const start = next() % (POOL_BYTES - 65_536);
      const length = Math.min(left, 65_536);
      yield pool.subarray(start, start + length);
      left -= length;
    }
    const padding = (512 - (size % 512)) % 512;
    if (padding > 0) yield new Uint8Array(padding);
  }
  yield new Uint8Array(1024);
}

interface LayerInfo {
  readonly digest: string;
  readonly diffId: string;
  readonly size: number;
}

async function writeLayer(path: string, layer: number, pool: Uint8Array): Promise<LayerInfo> {
  const plain = new Bun.CryptoHasher("sha256");
  const packed = new Bun.CryptoHasher("sha256");
  const gzip = createGzip({ level: 5 });
  const fd = openSync(path, "w");
  let size = 0;
  gzip.on("data", (chunk: Uint8Array) => {
    packed.update(chunk);
    size += chunk.length;
    writeSync(fd, chunk);
  });
  const ended = once(gzip, "end");
  const pending: Uint8Array[] = [];
  let pendingBytes = 0;
  for (const piece of layerPieces(layer, pool)) {
    pending.push(piece);
    pendingBytes += piece.length;
    if (pendingBytes < 1024 * 1024) continue;
    const block = Buffer.concat(pending.splice(0));
    pendingBytes = 0;
    plain.update(block);
    if (!gzip.write(block)) await once(gzip, "drain");
  }
  const last = Buffer.concat(pending);
  plain.update(last);
  gzip.end(last);
  await ended;
  closeSync(fd);
  return { digest: `sha256:${packed.digest("hex")}`, diffId: `sha256:${plain.digest("hex")}`, size };
}

const hashOf = (data: Uint8Array): string => `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;

/**
 * Makes the image as an OCI layout in `directory`, once: a later call finds it there. `layerCount` is for a quick trial; for another count, the
 * caller chooses another directory.
 */
export async function makeBigImage(directory: string, layerCount = LAYER_COUNT): Promise<void> {
  if (existsSync(join(directory, "index.json"))) return;
  const blobs = join(directory, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const pool = makePool();
  const layers: LayerInfo[] = [];
  for (let layer = 0; layer < layerCount; layer++) {
    const info = await writeLayer(join(blobs, "new"), layer, pool);
    renameSync(join(blobs, "new"), join(blobs, info.digest.slice(7)));
    layers.push(info);
  }
  const store = (value: unknown): { digest: string; size: number } => {
    const data = Buffer.from(JSON.stringify(value));
    const digest = hashOf(data);
    writeFileSync(join(blobs, digest.slice(7)), data);
    return { digest, size: data.length };
  };
  const config = store({
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Cmd: ["/none"] },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map((_, index) => ({ created: "2023-11-14T22:13:20Z", created_by: `layer ${index}` })),
    created: "2023-11-14T22:13:20Z",
  });
  const manifest = store({
    schemaVersion: 2,
    mediaType: "application/vnd.docker.distribution.manifest.v2+json",
    config: { mediaType: "application/vnd.docker.container.image.v1+json", ...config },
    layers: layers.map(({ digest, size }) => ({
      mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip",
      size,
      digest,
    })),
  });
  const index = {
    schemaVersion: 2,
    manifests: [{ mediaType: "application/vnd.docker.distribution.manifest.v2+json", ...manifest }],
  };
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(directory, "index.new"), JSON.stringify(index));
  renameSync(join(directory, "index.new"), join(directory, "index.json"));
}

/** Bytes that a pull of the image in `directory` transfers. */
export function packedBytes(directory: string): number {
  const index: { manifests: { digest: string }[] } = JSON.parse(readFileSync(join(directory, "index.json"), "utf8"));
  const manifest: { layers: { size: number }[] } = JSON.parse(
    readFileSync(join(directory, "blobs", index.manifests[0]!.digest.replace(":", "/")), "utf8"),
  );
  return manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
}
