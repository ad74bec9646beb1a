/**
 * Makes an OCI image layout from Debian's busybox-static: one layer with /bin/busybox, its applets as symlinks, and the files of /etc that
 * programs expect. Tests and the demo use it when no real image is available. Usage: make-busybox-image.ts DIRECTORY [TAG]
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface Entry {
  readonly path: string;
  readonly type: "file" | "directory" | "symlink";
  readonly mode: number;
  readonly data?: Uint8Array;
  readonly target?: string;
}

/** A ustar header and the padded body. It does not use packages/archive, so that tests do not read what our own writer wrote. */
function tarEntry({ path, type, mode, data = new Uint8Array(), target = "" }: Entry): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, "0")}\0`;
  header.write(path, 0, 100);
  header.write(octal(mode, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(data.length, 12), 124);
  header.write(octal(1_700_000_000, 12), 136);
  header.write("        ", 148);
  header.write({ file: "0", directory: "5", symlink: "2" }[type], 156);
  header.write(target, 157, 100);
  header.write("ustar\x0000", 257);
  header.write(
    octal(
      [...header].reduce((sum, byte) => sum + byte, 0),
      8,
    ).slice(0, 7),
    148,
  );
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

const sha256 = (data: Uint8Array): string => new Bun.CryptoHasher("sha256").update(data).digest("hex");

/** Path of a static busybox on this machine. */
export function busyboxPath(): string {
  const found = ["/bin/busybox", "/usr/bin/busybox"].find((path) => Bun.file(path).size > 0);
  if (found === undefined) throw new Error("no busybox found: apt-get install busybox-static");
  return found;
}

/** Entries of the root file system. */
function busyboxEntries(): Entry[] {
  const busybox = busyboxPath();
  const applets = Bun.spawnSync([busybox, "--list"]).stdout.toString().trim().split("\n");
  const directories = ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var"];
  const text = (content: string): Uint8Array => Buffer.from(content);
  return [
    ...directories.map((name): Entry => ({
      path: `${name}/`,
      type: "directory",
      mode: name === "tmp" ? 0o1777 : name === "root" ? 0o700 : 0o755,
    })),
    { path: "bin/busybox", type: "file", mode: 0o755, data: readFileSync(busybox) },
    ...applets
      .filter((name) => name !== "busybox")
      .map((name): Entry => ({ path: `bin/${name}`, type: "symlink", mode: 0o777, target: "busybox" })),
    {
      path: "etc/passwd",
      type: "file",
      mode: 0o644,
      data: text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n"),
    },
    {
      path: "etc/group",
      type: "file",
      mode: 0o644,
      data: text("root:x:0:\nwheel:x:10:root\naudio:x:18:\nnogroup:x:65534:\n"),
    },
  ];
}

export interface ImageVariant {
  readonly cmd?: readonly string[];
  /** Files beside busybox, executable. */
  readonly files?: Readonly<Record<string, string>>;
  /** Text for the image's history. */
  readonly createdBy?: string;
}

/** Writes the layout; returns the digest of its manifest. */
export function makeBusyboxImage(directory: string, tag = "latest", variant: ImageVariant = {}): string {
  const more = Object.entries(variant.files ?? {}).map(([path, content]): Entry => ({
    path,
    type: "file",
    mode: 0o755,
    data: Buffer.from(content),
  }));
  const layer = Buffer.concat([...[...busyboxEntries(), ...more].map(tarEntry), Buffer.alloc(1024)]);
  const compressed = Bun.gzipSync(layer);
  const blobs = join(directory, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (data: Uint8Array): { digest: string; size: number } => {
    writeFileSync(join(blobs, sha256(data)), data);
    return { digest: `sha256:${sha256(data)}`, size: data.length };
  };
  const config = put(
    Buffer.from(
      JSON.stringify({
        created: "2024-01-01T00:00:00Z",
        architecture: "amd64",
        os: "linux",
        config: {
          Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
          Cmd: variant.cmd ?? ["sh"],
        },
        rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
        history: [{ created: "2024-01-01T00:00:00Z", created_by: variant.createdBy ?? "busybox-static of Debian" }],
      }),
    ),
  );
  const manifest = put(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
        layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...put(compressed) }],
      }),
    ),
  );
  writeFileSync(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(
    join(directory, "index.json"),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          ...manifest,
          annotations: { "org.opencontainers.image.ref.name": tag },
        },
      ],
    }),
  );
  return manifest.digest;
}

if (import.meta.main) {
  const [directory, tag] = process.argv.slice(2);
  if (directory === undefined) throw new Error("usage: make-busybox-image.ts DIRECTORY [TAG]");
  console.log(makeBusyboxImage(directory, tag));
}
