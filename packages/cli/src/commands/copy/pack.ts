/** A local file or folder as a tar stream, with Docker's headers: owners by number, times in whole seconds, hard links kept. */
import { TarWriter, TreeWriter, treeEntry, type TreeFile } from "@fathom/archive";
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type BigIntStats } from "node:fs";
import { fileFailure } from "../../run-options/files.ts";
import { renamed, splitPath, type CopyPlace, type CopyPlan } from "./paths.ts";

/** Bytes that are collected before they are sent. */
const pieceSize = 256 * 1024;

const slash = Buffer.from("/");

function treeFile(stat: BigIntStats): TreeFile {
  const device = stat.rdev;
  return {
    mode: Number(stat.mode),
    nlink: Number(stat.nlink),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    // The kernel's encoding of a device number.
    rdevMajor: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)),
    rdevMinor: Number((device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffff_ffffn)),
    size: stat.size,
    mtimeNs: (stat.mtimeNs / 1_000_000_000n) * 1_000_000_000n,
  };
}

/** Every path below `path`, a folder before what is in it. Names are bytes. */
function* walk(path: Buffer, name: Buffer): Generator<{ path: Buffer; name: Buffer; stat: BigIntStats }> {
  const stat = lstatSync(path, { bigint: true });
  yield { path, name, stat };
  if (!stat.isDirectory()) return;
  for (const entry of readdirSync(path, { encoding: "buffer" }).toSorted(Buffer.compare))
    yield* walk(Buffer.concat([path, slash, entry]), Buffer.concat([name, slash, entry]));
}

/** @param rename of the plan @throws Error in Go's words when a file cannot be read */
export async function* pack(source: CopyPlace, rename: CopyPlan["rename"]): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] = [];
  let size = 0;
  const tar = new TarWriter((chunk) => {
    pieces.push(chunk);
    size += chunk.length;
  });
  const take = (): Uint8Array => {
    const whole = Buffer.concat(pieces);
    pieces = [];
    size = 0;
    return whole;
  };
  const tree = new TreeWriter(tar);
  const { folder, base } = splitPath(source.path);
  const first = source.rebase === "" ? base : source.rebase;
  const top = Buffer.from(base === "." ? folder : `${folder === "/" ? "" : folder}/${base}`);
  const buffer = Buffer.alloc(pieceSize);
  for (const { path, name, stat } of walk(top, Buffer.from(first))) {
    const rebased = Buffer.from(renamed(name.toString("latin1"), rename && latin(rename)), "latin1");
    const file = treeFile(stat);
    const entry = treeEntry(rebased, file, []);
    // A socket cannot be in an archive.
    if (entry === undefined) continue;
    if (entry.kind === "directory") tar.entry(entry);
    else if (tree.write(entry, file, `${stat.dev}:${stat.ino}`, () => readlinkSync(path, { encoding: "buffer" }))) {
      const fd = open(path);
      try {
        while (tar.remaining > 0) {
          const count = readSync(fd, buffer, 0, Math.min(buffer.length, tar.remaining), null);
          if (count === 0) while (tree.fill()) yield take();
          else tar.data(Buffer.from(buffer.subarray(0, count)));
          if (size >= pieceSize) yield take();
        }
      } finally {
        closeSync(fd);
      }
    }
    if (size >= pieceSize) yield take();
  }
  tar.finish();
  yield take();
}

function latin({ from, to }: NonNullable<CopyPlan["rename"]>): NonNullable<CopyPlan["rename"]> {
  return { from: Buffer.from(from).toString("latin1"), to: Buffer.from(to).toString("latin1") };
}

function open(path: Buffer): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw fileFailure("open", path.toString(), error);
  }
}
