/** The context of a build as a tar: the files of a directory without what `.dockerignore` excludes. */
import { lstatSync, readdirSync, readFileSync, readlinkSync, type BigIntStats } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { TarWriter, TreeWriter, treeEntry } from "@fathom/archive";
import { EngineError, isErrno } from "@fathom/base";
import { ignoreMatcher } from "@fathom/spec";

const readBytes = 256 * 1024;

export interface ContextFiles {
  /** undefined: no directory, the Dockerfile alone. */
  readonly directory: string | undefined;
  /** The Dockerfile's path in the archive. */
  readonly dockerfile: string;
  /** Its content, when it is not a file of the directory. */
  readonly content: string | undefined;
}

/** The patterns: `<Dockerfile>.dockerignore` beside the Dockerfile, or `.dockerignore` of the directory. */
function ignorePatterns(directory: string, dockerfile: string): string {
  for (const name of [`${dockerfile}.dockerignore`, ".dockerignore"]) {
    try {
      return readFileSync(join(directory, name), "utf8");
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    }
  }
  return "";
}

/** @throws EngineError for a file that cannot be read */
export async function* contextTar({ directory, dockerfile, content }: ContextFiles): AsyncGenerator<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const tar = new TarWriter((chunk) => void chunks.push(chunk));
  const files = new TreeWriter(tar);
  if (content !== undefined) tar.file({ path: dockerfile, mode: 0o644 }, Buffer.from(content));
  if (directory !== undefined) {
    const text = ignorePatterns(directory, dockerfile);
    const ignored = ignoreMatcher(text);
    // The builder needs these two; it leaves them out of copies itself.
    const needed = new Set([".dockerignore", dockerfile]);
    const mayTakeIn = /^\s*!/m.test(text);
    for (const { path, stat } of walk(directory, (path, isDirectory) => {
      if (needed.has(path)) return path === dockerfile && content !== undefined ? "leave" : "take";
      if (!ignored(path)) return "take";
      const holdsNeeded = [...needed].some((name) => name.startsWith(`${path}/`));
      return isDirectory && (mayTakeIn || holdsNeeded) ? "look-below" : "leave";
    })) {
      const input = treeEntry(Buffer.from(path, "utf8"), treeFile(stat), []);
      if (input === undefined) continue;
      if (input.kind === "directory") tar.entry(input);
      else {
        const target = (): Uint8Array => readlinkSync(join(directory, path), "buffer");
        const identity = `${stat.dev}:${stat.ino}`;
        if (files.write({ ...input, uid: 0, gid: 0 }, treeFile(stat), identity, target)) {
          for await (const data of contentOf(join(directory, path), tar)) {
            tar.data(data);
            yield* chunks.splice(0);
          }
          while (files.fill()) yield* chunks.splice(0);
        }
      }
      if (chunks.length > 64) yield* chunks.splice(0);
    }
  }
  tar.finish();
  yield* chunks.splice(0);
}

function treeFile(stat: BigIntStats): Parameters<typeof treeEntry>[1] {
  return {
    mode: Number(stat.mode),
    nlink: Number(stat.nlink),
    uid: 0,
    gid: 0,
    rdevMajor: 0,
    rdevMinor: 0,
    size: stat.size,
    mtimeNs: stat.mtimeNs,
  };
}

type Choice = "take" | "leave" | "look-below";

interface Found {
  readonly path: string;
  readonly stat: BigIntStats;
}

function* walk(
  directory: string,
  choose: (path: string, isDirectory: boolean) => Choice,
  below = "",
): Generator<Found> {
  for (const name of readdirSync(join(directory, below)).toSorted()) {
    const path = below === "" ? name : `${below}/${name}`;
    const stat = lstatSync(join(directory, path), { bigint: true });
    const choice = choose(path, stat.isDirectory());
    if (choice === "take") yield { path, stat };
    if (choice !== "leave" && stat.isDirectory()) yield* walk(directory, choose, path);
  }
}

/** No more than the header says. */
async function* contentOf(path: string, tar: TarWriter): AsyncGenerator<Uint8Array> {
  try {
    await using file = await open(path, "r");
    while (tar.remaining > 0) {
      const buffer = new Uint8Array(Math.min(readBytes, tar.remaining));
      const { bytesRead } = await file.read(buffer);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw new EngineError("invalid-argument", `cannot read ${path} of the context: ${String(error)}`, { cause: error });
  }
}
