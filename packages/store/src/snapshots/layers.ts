/** Image layers on disk, by chain id. */
import { chmodSync, realpathSync } from "node:fs";
import { EngineError, randomId, type Logger } from "@fathom/base";
import type { Sys } from "@fathom/sys";
import type { ChainId, DiffId } from "@fathom/spec";
import type { Database, Layer, LayerDraft, LayerStore } from "../contract.ts";
import { storageError } from "../errors.ts";
import { inheritAttributes, inheritOneByOne } from "../tree/implied-directories.ts";
import { chainLinks, findChain, needChain, ownChainId, refuseDepth, toLayer, trueChainOn } from "./chain.ts";
import type { OverlayLayout } from "./layout.ts";
import { randomLink } from "./layout.ts";
import type { StoreLeases } from "../leases/leases.ts";
import type { Trash } from "../trash.ts";

export interface LayerParts {
  readonly database: Database;
  readonly layout: OverlayLayout;
  readonly trash: Trash;
  readonly sys: Sys;
  readonly leases: StoreLeases;
  readonly bootId: string;
  /** Asks to make everything written so far durable, in the background. */
  readonly requestSync: () => void;
  readonly logger: Logger;
}

/** How long work on many files keeps the thread at a time. */
const turnMs = 10;

export function createLayerStore(parts: LayerParts): LayerStore {
  const { database, layout, trash, leases } = parts;

  function get(chainId: ChainId): Layer | undefined {
    const found = findChain(database, chainId);
    const row = found === undefined ? undefined : database.get("SELECT * FROM layers WHERE chain_id = ?", found);
    return row === undefined ? undefined : toLayer(layout, row);
  }

  function lowerPathsOf(parent: ChainId | undefined): string[] {
    return chainLinks(database, parent).map((link) => realpathSync(layout.linkPath(link)));
  }

  function commit(
    cacheId: string,
    parent: ChainId | undefined,
    diffId: DiffId,
    size: number,
    implied: readonly string[],
    hold: (chainId: ChainId) => void,
  ): { layer: Layer; taken: boolean } {
    const trueChain = trueChainOn(database, parent, diffId);
    const lower = chainLinks(database, parent);
    refuseDepth(lower);
    const existing = trueChain === undefined ? undefined : get(trueChain);
    if (existing !== undefined) {
      hold(existing.chainId);
      return { layer: existing, taken: false };
    }
    if (implied.length > 0) {
      inheritAttributes(parts.sys, layout.diff(cacheId), lowerPathsOf(parent), implied);
    }
    const chainId = trueChain ?? ownChainId();
    const below = parent === undefined ? undefined : needChain(database, parent);
    const link = randomLink();
    try {
      layout.place(cacheId, link, lower);
      if (lower.length > 0) layout.makeWork(cacheId);
      layout.markCommitted(cacheId);
      database.transaction(() => {
        database.run(
          "INSERT INTO layers (chain_id, diff_id, true_chain, parent, cache_id, link, size, boot) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          chainId,
          diffId,
          trueChain ?? null,
          below ?? null,
          cacheId,
          link,
          size,
          parts.bootId,
        );
        hold(chainId);
      });
    } catch (error) {
      layout.discard(cacheId, link);
      trash.empty();
      throw error;
    }
    parts.requestSync();
    return { layer: get(chainId)!, taken: true };
  }

  return {
    get,
    list: () => database.all("SELECT * FROM layers ORDER BY chain_id").map((row) => toLayer(layout, row)),
    draft(): LayerDraft {
      const cacheId = randomId();
      try {
        layout.make(cacheId);
        chmodSync(layout.diff(cacheId), 0o755);
      } catch (error) {
        layout.discard(cacheId, undefined);
        throw storageError("make a layer directory", error);
      }
      let open = true;
      function drop(): void {
        if (!open) return;
        open = false;
        layout.discard(cacheId, undefined);
        trash.empty();
      }
      return {
        cacheId,
        diffPath: layout.diff(cacheId),
        commit(parent, diffId, size, lease, implied = []) {
          if (!open) throw new EngineError("internal", `commit of the layer draft ${cacheId} after it was closed`);
          try {
            const { layer, taken } = commit(cacheId, parent, diffId, size, implied, (chainId) =>
              leases.hold(lease, "layer", chainId),
            );
            if (taken) open = false;
            else drop();
            return layer;
          } catch (error) {
            drop();
            throw storageError(`commit the layer ${diffId}`, error);
          }
        },
        async inherit(parent, implied) {
          if (implied.length === 0) return;
          let turnEnds = performance.now() + turnMs;
          try {
            for (const _ of inheritOneByOne(parts.sys, layout.diff(cacheId), lowerPathsOf(parent), implied)) {
              if (performance.now() < turnEnds) continue;
              await new Promise((resolve) => setImmediate(resolve));
              turnEnds = performance.now() + turnMs;
            }
          } catch (error) {
            throw storageError("give directories the attributes of the layers below", error);
          }
        },
        abort: drop,
      };
    },
    hold(chainId, lease) {
      return database.transaction(() => {
        const found = findChain(database, chainId);
        if (found === undefined) return false;
        leases.hold(lease, "layer", found);
        return true;
      });
    },
  };
}
