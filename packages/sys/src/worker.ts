import { embeddedPrefix } from "./native.ts";

/**
 * The argument of `new Worker` for an entry point of apps/fathom/workers.txt, whose path is relative to the top of the tree. In the compiled
 * executable all modules of the program share one address, so a URL relative to `import.meta.url` would not find the worker.
 */
export function workerSource(pathInTree: string): string {
  if (import.meta.dir.startsWith(embeddedPrefix)) {
    return `${embeddedPrefix}root/${pathInTree.replace(/\.ts$/, ".js")}`;
  }
  return new URL(`../../../${pathInTree}`, import.meta.url).href;
}
