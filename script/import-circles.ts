/**
 * Files that import each other in a circle, values or types, in TypeScript and in C. Nobody can read, test or move one of them without all the
 * others.
 */
import { Glob } from "bun";
import { dirname, join, relative, resolve } from "node:path";

const importPattern = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)["']((?:\.{1,2}\/|@fathom\/)[^"']+)["']/g;
const includePattern = /^\s*#\s*include\s+"([^"]+)"/gm;

/** The file that an import names, relative to `root`. */
function importedFile(root: string, from: string, name: string): string {
  const [, owner, path = "index"] = /^@fathom\/([^/]+)(?:\/(.+))?$/.exec(name) ?? [];
  if (owner !== undefined) return `packages/${owner}/src/${path}.ts`;
  return relative(root, resolve(root, dirname(from), name));
}

async function readImports(root: string): Promise<Map<string, readonly string[]>> {
  const imports = new Map<string, readonly string[]>();
  const read = async (glob: string, pattern: RegExp): Promise<void> => {
    for (const file of new Glob(glob).scanSync(root)) {
      if (file.includes("node_modules/")) continue;
      const text = await Bun.file(join(root, file)).text();
      imports.set(
        file,
        [...text.matchAll(pattern)].map(([, name]) => importedFile(root, file, name!)),
      );
    }
  };
  await read("{packages,apps,test,bench,script}/**/*.ts", importPattern);
  await read("native/**/*.{c,h}", includePattern);
  return imports;
}

/** One circle of each group of files that reach each other; in it, each file imports the next. */
export function circlesIn(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const circles: string[][] = [];
  const done = new Set<string>();
  const visit = (file: string, path: string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) {
      circles.push(path.slice(at));
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const next of imports.get(file) ?? []) visit(next, path);
    path.pop();
    done.add(file);
  };
  for (const file of [...imports.keys()].sort()) visit(file, []);
  return circles;
}

export async function importCircles(root: string): Promise<string[][]> {
  return circlesIn(await readImports(root));
}
