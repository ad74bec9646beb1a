/**
 * Containers that are not in the database, because it is from an older backup or was made again. The data is on disk: the code that manages
 * containers writes a description of each outside the database (`DescribeLayers`), and the layout's own files say which directory is on top of
 * which.
 */
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf, type Logger } from "@fathom/base";
import type { ChainId, DiffId } from "@fathom/spec";
import type { Database } from "../contract.ts";
import { trueChainOn } from "../snapshots/chain.ts";
import type { OverlayLayout } from "../snapshots/layout.ts";

/** A layer under a container. */
export interface DescribedLayer {
  readonly chainId: ChainId;
  /** undefined for a layer that was committed without a tar and has no DiffId yet. */
  readonly diffId?: DiffId | undefined;
  /** Bytes of its files. */
  readonly size: number;
}

/** The layers below a writable layer without a row, the nearest first; undefined when nothing describes it, so that it is a leftover. */
export type DescribeLayers = (id: string) => readonly DescribedLayer[] | undefined;

/** Adds the rows of described writable layers, and of the layers below them. Returns the ids of containers whose files are not complete. */
export function recoverDescribed(
  parts: { readonly database: Database; readonly layout: OverlayLayout; readonly logger: Logger },
  describe: DescribeLayers,
): ReadonlySet<string> {
  const { database, layout, logger } = parts;
  const incomplete = new Set<string>();
  const known = new Set(
    database
      .all("SELECT cache_id AS id FROM layers UNION ALL SELECT COALESCE(directory, id) FROM container_layers")
      .map(({ id }) => String(id)),
  );
  for (const id of layout.ids()) {
    if (known.has(id)) continue;
    const layers = describe(id);
    if (layers === undefined) continue;
    try {
      database.transaction(() => restore(database, layout, id, layers));
      logger.warn("the layers of a container were not in the database and are taken up from what lies on disk", { id });
    } catch (error) {
      incomplete.add(id);
      logger.error("a container that is not in the database cannot be taken up: its files are left alone", {
        id,
        path: join(layout.directory, id),
        error: messageOf(error),
      });
    }
  }
  return incomplete;
}

function restore(database: Database, layout: OverlayLayout, id: string, layers: readonly DescribedLayer[]): void {
  const read = (name: string): string => readFileSync(join(layout.directory, id, name), "utf8").trim();
  const links =
    layers.length === 0
      ? []
      : read("lower")
          .split(":")
          .map((name) => basename(name));
  if (links.length !== layers.length)
    throw new Error(`it lies on ${links.length} layers, and is described with ${layers.length}`);
  // The lowest first: each row names the layer below.
  for (let at = layers.length - 1; at >= 0; at--) {
    const { chainId, diffId, size } = layers[at]!;
    if (database.get("SELECT 1 FROM layers WHERE chain_id = ?", chainId) !== undefined) continue;
    const cacheId = basename(dirname(readlinkSync(layout.linkPath(links[at]!))));
    if (!existsSync(layout.diff(cacheId))) throw new Error(`its layer ${chainId} is gone`);
    const below = layers[at + 1]?.chainId;
    database.run(
      "INSERT INTO layers (chain_id, diff_id, true_chain, parent, cache_id, link, size, boot) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
      chainId,
      diffId ?? "",
      diffId === undefined ? null : (trueChainOn(database, below, diffId) ?? null),
      below ?? null,
      cacheId,
      links[at]!,
      size,
    );
  }
  database.run(
    "INSERT INTO container_layers (id, parent, link) VALUES (?, ?, ?)",
    id,
    layers[0]?.chainId ?? null,
    read("link"),
  );
}
