/**
 * Chains of layers by their rows. A chain has the id from its DiffIds (image-spec config.md#layer-chainid), or, while one of its layers has no
 * DiffId, an id of its own. It keeps that id. When it is described, the id from its DiffIds leads to the same row (`true_chain`).
 */
import { EngineError, randomId } from "@fathom/base";
import { chainIds, parseChainId, parseDiffId, sha256Digest, type ChainId, type DiffId } from "@fathom/spec";
import type { Database, Layer } from "../contract.ts";
import { numberColumn, optionalNumber, optionalText, textColumn, type Row } from "../database/rows.ts";
import type { OverlayLayout } from "./layout.ts";

/** The kernel accepts 500 lower directories; Docker's limit is 125, and images made elsewhere rarely have more. */
export const layerLimit = 125;

export interface LayerRow extends Layer {
  readonly link: string;
  /** undefined while a layer of the chain has no DiffId. */
  readonly trueChain: ChainId | undefined;
  /** Bytes of its tar, if this store wrote it. */
  readonly tarSize: number | undefined;
}

function optionalChain(row: Row, name: string): ChainId | undefined {
  const text = optionalText(row, name);
  return text === undefined ? undefined : parseChainId(text);
}

export function toLayer(layout: OverlayLayout, row: Row): LayerRow {
  const cacheId = textColumn(row, "cache_id");
  const diffId = textColumn(row, "diff_id");
  return {
    chainId: parseChainId(textColumn(row, "chain_id")),
    diffId: diffId === "" ? undefined : parseDiffId(diffId),
    parent: optionalChain(row, "parent"),
    cacheId,
    diffPath: layout.diff(cacheId),
    size: numberColumn(row, "size"),
    link: textColumn(row, "link"),
    trueChain: optionalChain(row, "true_chain"),
    tarSize: optionalNumber(row, "tar_size"),
  };
}

/** The id in the row of a chain; the argument may also be the id from its DiffIds. */
export function findChain(database: Database, chainId: ChainId): ChainId | undefined {
  const row =
    database.get("SELECT chain_id FROM layers WHERE chain_id = ?", chainId) ??
    database.get("SELECT chain_id FROM layers WHERE true_chain = ? ORDER BY chain_id LIMIT 1", chainId);
  return row === undefined ? undefined : parseChainId(textColumn(row, "chain_id"));
}

/** @throws not-found */
export function needChain(database: Database, chainId: ChainId): ChainId {
  const found = findChain(database, chainId);
  if (found === undefined) throw new EngineError("not-found", `layer ${chainId} does not exist`);
  return found;
}

/** More layers than any chain has: a damaged database may have a chain that leads to itself. */
const deepestChain = 1000;

/** Rows of a chain, the topmost layer first. One statement: each container that starts reads its chain. @throws not-found */
function chainRows(database: Database, top: ChainId | undefined, columns: string): Row[] {
  if (top === undefined) return [];
  const first = needChain(database, top);
  const rows = database.all(
    `WITH RECURSIVE chain (depth, id) AS (
       SELECT 0, ?
       UNION ALL SELECT depth + 1, layers.parent FROM chain JOIN layers ON layers.chain_id = chain.id
       WHERE layers.parent IS NOT NULL AND depth < ${deepestChain}
     ) SELECT ${columns}, parent FROM chain JOIN layers ON layers.chain_id = chain.id ORDER BY depth`,
    first,
  );
  const last = rows.at(-1);
  const missing = last === undefined ? first : optionalChain(last, "parent");
  if (missing !== undefined) throw new EngineError("not-found", `layer ${missing} does not exist`);
  return rows;
}

/** Short links of a chain, the topmost layer first. @throws not-found */
export function chainLinks(database: Database, top: ChainId | undefined): string[] {
  return chainRows(database, top, "link").map((row) => textColumn(row, "link"));
}

/** The same as layers. @throws not-found */
export function chainLayers(database: Database, layout: OverlayLayout, top: ChainId): LayerRow[] {
  return chainRows(database, top, "*").map((row) => toLayer(layout, row));
}

export function refuseDepth(lower: readonly string[]): void {
  if (lower.length + 1 > layerLimit)
    throw new EngineError("invalid-argument", `max depth exceeded: an image may have ${layerLimit} layers`);
}

/** ChainID of a layer on top of a chain (image-spec config.md#layer-chainid). */
export function chainIdOn(parent: ChainId | undefined, diffId: DiffId): ChainId {
  return parent === undefined ? chainIds([diffId])[0]! : parseChainId(sha256Digest(`${parent} ${diffId}`));
}

/** The id from the DiffIds of a chain and of one more layer; undefined while a layer of the chain has none. */
export function trueChainOn(database: Database, parent: ChainId | undefined, diffId: DiffId): ChainId | undefined {
  if (parent === undefined) return chainIdOn(undefined, diffId);
  const row = database.get("SELECT true_chain FROM layers WHERE chain_id = ?", needChain(database, parent));
  const below = row === undefined ? undefined : optionalChain(row, "true_chain");
  return below === undefined ? undefined : chainIdOn(below, diffId);
}

/** An id for a chain whose DiffIds are not all known. It is the digest of random bytes, so no DiffIds give it. */
export function ownChainId(): ChainId {
  return parseChainId(sha256Digest(`${randomId()} ${randomId()}`));
}
