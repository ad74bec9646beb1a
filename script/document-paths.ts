/** Finds paths that the documents name and that do not exist in the repository, for example after a file was moved or renamed. */

export interface MissingPath {
  /** Counts from 1. */
  readonly line: number;
  readonly path: string;
}

/** The build makes these, so a fresh clone has none of them. */
const outputs = ["build", "dist", "node_modules", ".tools"];

/**
 * A name with one of these endings is a source or a document of this repository. Other names ("config.json", "resolv.conf") may be files of
 * other programs.
 */
const sourceName = /\.(?:ts|c|h|md|sh)$/;

/**
 * A path is a word in backticks or a link's target, of one of three kinds: it begins with a folder at the root of the repository, it ends like
 * a source file, or it is a single name with a slash behind it. The last two kinds may leave out their beginning: "oci/mounts.ts" is any file
 * with that ending. `*` stands for a part of a name. Words with `<…>` or an ellipsis, absolute paths and names of packages do not count.
 * @param paths All files and folders of the repository, relative to its root.
 */
export function missingPaths(text: string, paths: ReadonlySet<string>): MissingPath[] {
  const ends = new Set<string>();
  for (const path of paths) {
    const parts = path.split("/");
    for (let i = 0; i < parts.length; i++) ends.add(parts.slice(i).join("/"));
  }
  const roots = new Set([...paths].map((path) => path.split("/")[0]!));
  const exists = (word: string): boolean => {
    const root = word.split("/")[0]!;
    if (outputs.includes(root)) return true;
    const known = word.includes("/") && roots.has(root) ? paths : ends;
    if (!word.includes("*")) return known.has(word);
    const parts = word.split("*").map((part) => part.replaceAll(/[.+]/g, String.raw`\$&`));
    const pattern = new RegExp(`^${parts.join("[^/]*")}$`);
    return known.values().some((path) => pattern.test(path));
  };
  return text.split("\n").flatMap((line, index) =>
    wordsOf(line)
      .filter(
        (word) =>
          (/\/./.test(word) && roots.has(word.split("/")[0]!)) || /^[^/]+\/$/.test(word) || sourceName.test(word),
      )
      .map((word) => word.replace(/\/$/, ""))
      .filter((word) => !exists(word))
      .map((path) => ({ line: index + 1, path })),
  );
}

export interface NamedIn {
  /** Counts from 1. */
  readonly line: number;
  /** Functions and types that the document says exist in a file. */
  readonly names: readonly string[];
  readonly path: string;
}

/** Names that a document places in a file: "`one`, `two` and `three` in `packages/x/src/y.ts`". */
export function namesInFiles(text: string): NamedIn[] {
  return text.split("\n").flatMap((line, index) =>
    [...line.matchAll(/((?:`\w+`(?:, | and ))*`\w+`) in `([\w./-]+\.(?:ts|c|h))`/g)].map(([, names, path]) => ({
      line: index + 1,
      names: [...names!.matchAll(/\w+/g)].map(([name]) => name).filter((name) => name !== "and"),
      path: path!,
    })),
  );
}

function wordsOf(line: string): string[] {
  const code = [...line.matchAll(/`([^`]+)`/g)].flatMap(([, span]) => span!.split(/\s+/));
  const links = [...line.matchAll(/\]\(([^)#\s]+)/g)].map(([, target]) => target!.replace(/^(?:\.\.?\/)+/, ""));
  return [...code, ...links]
    .map((word) => word.replace(/^\.\//, "").replace(/[,;:]+$/, ""))
    .filter((word) => /^[\w.*][\w.*@/-]*$/.test(word));
}
