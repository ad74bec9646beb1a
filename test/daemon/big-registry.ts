/**
 * A registry for the pull tests, a process of its own in the daemon's network namespace. It serves `big:N` for any N: an image of one small
 * layer and one layer of N MB that is made while it is sent. `held:N` and `twin:N` have the same layers; of their large layer it sends half,
 * and sends the rest after a request.
 * Usage: big-registry.ts PORT. GET /counts returns how often each blob was requested, how many transfers are open, and how many of those wait;
 * POST /go lets the waiting transfers continue.
 */
import { createServer } from "node:http";

const sha256 = (data: Uint8Array): string => `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;

/** A ustar header of a file. */
function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, "0")}\0`;
  block.write(name, 0);
  block.write(octal(0o644, 8) + octal(0, 8) + octal(0, 8) + octal(size, 12) + octal(1_700_000_000, 12), 100);
  block.write("        0", 148);
  block.write("ustar\x0000", 257);
  block.write(
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      7,
    )} `,
    148,
  );
  return block;
}

const chunk = Buffer.alloc(1_000_000);
crypto.getRandomValues(chunk.subarray(0, 65_536));

/** An uncompressed layer with one file of this many MB. */
function* layerOf(name: string, megabytes: number): Generator<Buffer> {
  const size = megabytes * chunk.length;
  yield header(name, size);
  for (let index = 0; index < megabytes; index++) yield chunk;
  yield Buffer.alloc(((512 - (size % 512)) % 512) + 1024);
}

interface Blob {
  readonly digest: string;
  readonly size: number;
  readonly bytes: () => Iterable<Buffer>;
}

function blobOf(bytes: () => Iterable<Buffer>): Blob {
  const hasher = new Bun.CryptoHasher("sha256");
  let size = 0;
  for (const part of bytes()) {
    hasher.update(part);
    size += part.length;
  }
  return { digest: `sha256:${hasher.digest("hex")}`, size, bytes };
}

const blobs = new Map<string, Blob>();
const held = new Set<string>();
const manifests = new Map<string, Buffer>();
const counts: Record<string, number> = {};
let open = 0;
let waiting = 0;
let go = Promise.withResolvers<void>();

function makeImage(repository: string, tag: string): Buffer {
  const holds = repository !== "big";
  const layers = [blobOf(() => layerOf("small", 1)), blobOf(() => layerOf(holds ? "held" : "large", Number(tag)))];
  if (holds) held.add(layers[1]!.digest);
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
    }),
  );
  const configBlob = { digest: sha256(config), size: config.length, bytes: () => [config] };
  for (const blob of [...layers, configBlob]) blobs.set(blob.digest, blob);
  const described = ({ digest, size }: Blob, mediaType: string): object => ({ mediaType, digest, size });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: described(configBlob, "application/vnd.oci.image.config.v1+json"),
      layers: layers.map((layer) => described(layer, "application/vnd.oci.image.layer.v1.tar")),
    }),
  );
  manifests.set(`${repository}:${tag}`, manifest);
  manifests.set(`${repository}:${sha256(manifest)}`, manifest);
  return manifest;
}

const server = createServer(async (request, response) => {
  const url = request.url ?? "";
  if (url === "/counts") return void response.end(JSON.stringify({ counts, open, waiting }));
  if (url === "/go") {
    go.resolve();
    go = Promise.withResolvers();
    return void response.end();
  }
  if (url === "/v2/") return void response.end("{}");
  const [, repository = "", kind, name = ""] = /^\/v2\/(\w+)\/(manifests|blobs)\/(.+)$/.exec(url) ?? [];
  if (kind === "manifests") {
    const manifest = manifests.get(`${repository}:${name}`) ?? makeImage(repository, name);
    response.setHeader("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    response.setHeader("Docker-Content-Digest", sha256(manifest));
    response.setHeader("Content-Length", manifest.length);
    return void response.end(request.method === "HEAD" ? undefined : manifest);
  }
  const blob = blobs.get(name);
  if (blob === undefined) {
    response.statusCode = 404;
    return void response.end();
  }
  counts[name] = (counts[name] ?? 0) + 1;
  response.setHeader("Content-Length", blob.size);
  open++;
  const gone = new Promise<void>((resolve) => response.once("close", resolve));
  void gone.then(() => open--);
  let sent = 0;
  for (const part of blob.bytes()) {
    if (response.destroyed) return;
    if (held.has(name) && sent < blob.size / 2 && sent + part.length >= blob.size / 2) {
      waiting++;
      await Promise.race([go.promise, gone]);
      waiting--;
    }
    sent += part.length;
    if (!response.write(part)) await Promise.race([new Promise((resolve) => response.once("drain", resolve)), gone]);
  }
  response.end();
});
server.listen(Number(process.argv[2]), "127.0.0.1");
