/** Finds paths of the repository that its documents name and that are not there: a file that was moved or renamed leaves such words behind. */

export interface MissingPath {
  /** From 1. */
  readonly line: number;
  readonly path: string;
}

/** Made by the build, so a fresh clone has none of it. */
const outputs = ["build", "dist", "node_modules", ".tools"];

/** A name with one of these is a source or a document; others ("config.json", "resolv.conf") may be anybody's file. */
const sourceName = /\.(?:ts|c|h|md|sh)$/;

/**
 * What counts as a path: in backticks or as a link's target, a word that begins with a folder at the root of the repository, or that ends like
 * a source, or a single name with a slash behind it. The latter two may leave out their beginning: "oci/mounts.ts" is any file with that
 * end. `*` stands for a part of a name. Words with `<…>` or an ellipsis, absolute paths and names of packages are none.
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
  /** From 1. */
  readonly line: number;
  /** Functions and types that the document says are there. */
  readonly names: readonly string[];
  readonly path: string;
}

/** What a document says to be in a file: "`one`, `two` and `three` in `packages/x/src/y.ts`". */
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
