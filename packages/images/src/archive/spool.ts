/** The files of an archive on disk, under numbers of ours: the archive's names never become paths. */
import { closeSync, openSync } from "node:fs";
import { join, posix } from "node:path";
import { createDecompressor, nameText, TarReader } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import { writeAll } from "../workers/file-jobs.ts";

const maxFiles = 20_000;
/** An archive may have a file in each kilobyte, and each needs three system calls: so other work has its turn after this many bytes. */
const bytesATurn = 64 * 1024;

/** Paths on the disk by the names in the archive. */
export type Files = ReadonlyMap<string, string>;

export async function spool(work: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Files> {
  const files = new Map<string, string>();
  const links: (readonly [string, string])[] = [];
  let fd = -1;
  let opened = 0;
  const reader = new TarReader({
    entry: (entry) => {
      const name = posix.normalize(`/${nameText(entry.path)}`).slice(1);
      if (entry.kind === "file") {
        if (opened >= maxFiles)
          throw new EngineError("invalid-argument", `the archive has more than ${maxFiles} files`);
        // An archive may have one name twice (tar -r); the last file counts, as in tar.
        const path = join(work, String(opened));
        files.set(name, path);
        fd = openSync(path, "wx", 0o600);
        opened++;
      } else if (entry.kind === "symlink" || entry.kind === "hardlink") {
        const target = nameText(entry.linkPath);
        links.push([
          name,
          entry.kind === "symlink" ? posix.join(posix.dirname(name), target) : posix.normalize(target),
        ]);
      }
    },
    data: (chunk, offset) => {
      writeAll(fd, chunk, "write the archive", offset);
    },
    end: () => {
      if (fd >= 0) closeSync(fd);
      fd = -1;
    },
  });
  try {
    const decompressor = createDecompressor("auto", (chunk) => reader.push(chunk), { outputBytes: bytesATurn });
    for await (const chunk of body)
      for (let at = 0; at < chunk.length; at += bytesATurn) {
        signal.throwIfAborted();
        const before = opened;
        await decompressor.write(chunk.subarray(at, at + bytesATurn));
        if (opened > before) await new Promise((resolve) => setImmediate(resolve));
      }
    await decompressor.finish();
    reader.finish();
  } finally {
    if (fd >= 0) closeSync(fd);
  }
  for (const [name, target] of links) {
    const path = files.get(target);
    if (path !== undefined) files.set(name, path);
  }
  return files;
}

export function fileOf(files: Files, name: string): string {
  const path = files.get(posix.normalize(name));
  if (path === undefined) throw new EngineError("invalid-argument", `the archive has no file ${JSON.stringify(name)}`);
  return path;
}
