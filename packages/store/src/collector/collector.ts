/**
 * The garbage collector. One transaction asks the roots, decides and removes the rows; then directories are renamed away and files are
 * unlinked. It runs on the thread that owns the database, so no row appears in between. Only blobs are also written by other threads; the
 * collector recognises those by their inode.
 */
import { EngineError, isEngineError, messageOf, type Logger } from "@fathom/base";
import { parseChainId, parseDigest, type Digest } from "@fathom/spec";
import type { Collector, CollectResult, Database, Reached } from "../contract.ts";
import { numberColumn, optionalText, textColumn } from "../database/rows.ts";

export interface GarbageBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Inode of the file for which the row was made. */
  readonly inode: string;
}

export interface GarbageLayer {
  readonly chainId: string;
  readonly parent: string | undefined;
  readonly cacheId: string;
  readonly link: string;
  readonly size: number;
}

/** Where the bytes are. */
export interface GarbageFiles {
  /** The data that a row for the present file of a blob would have; undefined when there is no file. */
  inode(digest: Digest): string | undefined;
  /** Called after the rows are removed: removes the bytes too, in small turns. */
  remove(blobs: readonly GarbageBlob[], layers: readonly GarbageLayer[]): Promise<void>;
}

export function createCollector(database: Database, files: GarbageFiles, logger: Logger): Collector {
  const roots = new Map<string, () => Reached>();

  return {
    root(name, reach) {
      if (roots.has(name)) throw new EngineError("conflict", `the collector has a root ${name} already`);
      roots.set(name, reach);
      return { [Symbol.dispose]: () => void (roots.get(name) === reach && roots.delete(name)) };
    },
    async collect() {
      const { blobs, layers } = database.transaction(() => {
        const reached = reach(roots);
        return { blobs: takeBlobs(database, files, reached.blobs), layers: takeLayers(database, reached.layers) };
      });
      await files.remove(blobs, layers);
      const result: CollectResult = {
        blobs: blobs.map(({ digest }) => digest),
        layers: layers.map(({ chainId }) => parseChainId(chainId)),
        reclaimedBytes: [...blobs, ...layers].reduce((sum, { size }) => sum + size, 0),
      };
      if (blobs.length + layers.length > 0)
        logger.info("collected", { blobs: blobs.length, layers: layers.length, bytes: result.reclaimedBytes });
      return result;
    },
  };
}

function reach(roots: ReadonlyMap<string, () => Reached>): { blobs: Set<string>; layers: Set<string> } {
  const blobs = new Set<string>();
  const layers = new Set<string>();
  for (const [name, reach] of roots) {
    try {
      const reached = reach();
      for (const digest of reached.blobs ?? []) blobs.add(digest);
      for (const chainId of reached.layers ?? []) layers.add(chainId);
    } catch (error) {
      const code = isEngineError(error) ? error.code : "internal";
      throw new EngineError(
        code,
        `nothing is collected: the root ${name} cannot say what it needs: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
  }
  return { blobs, layers };
}

function takeBlobs(database: Database, files: GarbageFiles, reached: ReadonlySet<string>): GarbageBlob[] {
  const taken: GarbageBlob[] = [];
  for (const row of database.all("SELECT digest, size, inode FROM blobs ORDER BY digest")) {
    const name = textColumn(row, "digest");
    if (reached.has(name)) continue;
    const digest = parseDigest(name);
    const inode = textColumn(row, "inode");
    const now = files.inode(digest);
    database.run("DELETE FROM blobs WHERE digest = ?", digest);
    // Another thread has stored it again and is about to record it: its file stays, like that of a new blob. Collections look only at blobs
    // with a row. If nobody records it, the next `openStore` makes a row.
    if (now !== undefined && now !== inode) continue;
    taken.push({ digest, size: numberColumn(row, "size"), inode });
  }
  return taken;
}

function takeLayers(database: Database, named: ReadonlySet<string>): GarbageLayer[] {
  const layers = new Map<string, GarbageLayer>();
  /** From the id that the DiffIds give to the chain's own id. */
  const byTrueChain = new Map<string, string[]>();
  for (const row of database.all("SELECT chain_id, true_chain, parent, cache_id, link, size FROM layers")) {
    const chainId = textColumn(row, "chain_id");
    const trueChain = optionalText(row, "true_chain");
    layers.set(chainId, {
      chainId,
      parent: optionalText(row, "parent"),
      cacheId: textColumn(row, "cache_id"),
      link: textColumn(row, "link"),
      size: numberColumn(row, "size"),
    });
    if (trueChain !== undefined && trueChain !== chainId)
      byTrueChain.set(trueChain, [...(byTrueChain.get(trueChain) ?? []), chainId]);
  }
  const reached = new Set<string>();
  for (const name of named)
    for (const top of [name, ...(byTrueChain.get(name) ?? [])])
      for (let at = layers.get(top); at !== undefined && !reached.has(at.chainId);) {
        reached.add(at.chainId);
        at = at.parent === undefined ? undefined : layers.get(at.parent);
      }
  const taken = topmostFirst([...layers.values()].filter(({ chainId }) => !reached.has(chainId)));
  for (const { chainId } of taken) database.run("DELETE FROM layers WHERE chain_id = ?", chainId);
  return taken;
}

function topmostFirst(layers: readonly GarbageLayer[]): GarbageLayer[] {
  const byId = new Map(layers.map((layer) => [layer.chainId, layer]));
  const depths = new Map<string, number>();
  function depth(layer: GarbageLayer): number {
    const known = depths.get(layer.chainId);
    if (known !== undefined) return known;
    const parent = layer.parent === undefined ? undefined : byId.get(layer.parent);
    const value = parent === undefined ? 0 : depth(parent) + 1;
    depths.set(layer.chainId, value);
    return value;
  }
  return [...layers].sort((a, b) => depth(b) - depth(a) || (a.chainId < b.chainId ? -1 : 1));
}
