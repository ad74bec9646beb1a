/** Image layers on disk, by chain id. */
import { chmodSync, realpathSync } from "node:fs";
import { EngineError, randomId, type Logger } from "@fathom/base";
import type { Sys } from "@fathom/sys";
import { chainIds, parseChainId, parseDiffId, sha256Digest, type ChainId, type DiffId } from "@fathom/spec";
import type { Database, Layer, LayerDraft, LayerStore } from "../contract.ts";
import { storageError } from "../errors.ts";
import { inheritAttributes, inheritOneByOne } from "../tree/implied-directories.ts";
import type { OverlayLayout } from "./layout.ts";
import { randomLink } from "./layout.ts";
import type { StoreLeases } from "../leases.ts";
import { numberColumn, optionalText, textColumn, type Row } from "../database/rows.ts";
import type { Trash } from "../trash.ts";

/** The kernel takes 500 lower directories; Docker stops at 125, and images made elsewhere rarely have more. */
export const layerLimit = 125;

export interface LayerParts {
  readonly database: Database;
  readonly layout: OverlayLayout;
  readonly trash: Trash;
  readonly sys: Sys;
  readonly leases: StoreLeases;
  readonly bootId: string;
  /** Asks for everything written so far to become durable, in the background. */
  readonly requestSync: () => void;
  readonly logger: Logger;
}

/** How long work on many files keeps the thread at a time. */
const turnMs = 10;

const columns = "chain_id, diff_id, parent, cache_id, link, size";

/** Short links of a chain, the topmost layer first. @throws not-found */
export function chainLinks(database: Database, top: ChainId | undefined): string[] {
  const links: string[] = [];
  for (let at = top; at !== undefined;) {
    const row = database.get("SELECT link, parent FROM layers WHERE chain_id = ?", at);
    if (row === undefined) throw new EngineError("not-found", `layer ${at} does not exist`);
    links.push(textColumn(row, "link"));
    const parent = optionalText(row, "parent");
    at = parent === undefined ? undefined : parseChainId(parent);
  }
  return links;
}

export function createLayerStore(parts: LayerParts): LayerStore {
  const { database, layout, trash, leases } = parts;

  function toLayer(row: Row): Layer {
    const parent = optionalText(row, "parent");
    const cacheId = textColumn(row, "cache_id");
    return {
      chainId: parseChainId(textColumn(row, "chain_id")),
      diffId: parseDiffId(textColumn(row, "diff_id")),
      parent: parent === undefined ? undefined : parseChainId(parent),
      cacheId,
      diffPath: layout.diff(cacheId),
      size: numberColumn(row, "size"),
    };
  }

  function get(chainId: ChainId): Layer | undefined {
    const row = database.get(`SELECT ${columns} FROM layers WHERE chain_id = ?`, chainId);
    return row === undefined ? undefined : toLayer(row);
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
    const chainId = chainIdOn(parent, diffId);
    const lower = chainLinks(database, parent);
    if (lower.length + 1 > layerLimit)
      throw new EngineError("invalid-argument", `max depth exceeded: an image may have ${layerLimit} layers`);
    const existing = get(chainId);
    if (existing !== undefined) {
      hold(chainId);
      return { layer: existing, taken: false };
    }
    if (implied.length > 0) {
      inheritAttributes(parts.sys, layout.diff(cacheId), lowerPathsOf(parent), implied);
    }
    const link = randomLink();
    layout.place(cacheId, link, lower);
    if (lower.length > 0) layout.makeWork(cacheId);
    layout.markCommitted(cacheId);
    try {
      database.transaction(() => {
        database.run(
          "INSERT INTO layers (chain_id, diff_id, parent, cache_id, link, size, boot) VALUES (?, ?, ?, ?, ?, ?, ?)",
          chainId,
          diffId,
          parent ?? null,
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
    return { layer: { chainId, diffId, parent, cacheId, diffPath: layout.diff(cacheId), size }, taken: true };
  }

  return {
    get,
    list: () => database.all(`SELECT ${columns} FROM layers ORDER BY chain_id`).map(toLayer),
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
        if (database.get("SELECT 1 AS found FROM layers WHERE chain_id = ?", chainId) === undefined) return false;
        leases.hold(lease, "layer", chainId);
        return true;
      });
    },
  };
}

/** ChainID of a layer on top of a chain (image-spec config.md#layer-chainid). */
function chainIdOn(parent: ChainId | undefined, diffId: DiffId): ChainId {
  return parent === undefined ? chainIds([diffId])[0]! : parseChainId(sha256Digest(`${parent} ${diffId}`));
}
