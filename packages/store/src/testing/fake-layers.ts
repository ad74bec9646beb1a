/** Image layers without directories: only rows. */
import { EngineError, randomId } from "@fathom/base";
import { parseChainId, parseDiffId, type ChainId } from "@fathom/spec";
import type { Database, Layer, LayerDraft, LayerStore, Lease } from "../contract.ts";
import { numberColumn, optionalText, textColumn, type Row } from "../database/rows.ts";
import type { StoreLeases } from "../leases/leases.ts";
import { chainIdOn, chainLinks, needChain, refuseDepth } from "../snapshots/chain.ts";
import type { FakeSnapshotter } from "./fake-snapshotter.ts";

export class FakeLayers implements LayerStore {
  readonly #database: Database;
  readonly #leases: StoreLeases;
  readonly #snapshots: FakeSnapshotter;

  constructor(database: Database, leases: StoreLeases, snapshots: FakeSnapshotter) {
    this.#database = database;
    this.#leases = leases;
    this.#snapshots = snapshots;
  }

  get(chainId: ChainId): Layer | undefined {
    const row = this.#database.get("SELECT * FROM layers WHERE chain_id = ?", chainId);
    return row === undefined ? undefined : toLayer(row);
  }

  list(): Layer[] {
    return this.#database.all("SELECT * FROM layers ORDER BY chain_id").map(toLayer);
  }

  draft(): LayerDraft {
    const cacheId = randomId();
    let isOpen = true;
    return {
      cacheId,
      diffPath: diffPath(cacheId),
      commit: (parent, diffId, size, lease) => {
        if (!isOpen) throw new EngineError("internal", `commit of the layer draft ${cacheId} after it was closed`);
        isOpen = false;
        const below = parent === undefined ? undefined : needChain(this.#database, parent);
        refuseDepth(chainLinks(this.#database, below));
        const chainId = chainIdOn(below, diffId);
        this.#leases.hold(lease, "layer", chainId);
        this.#database.run(
          "INSERT OR IGNORE INTO layers (chain_id, diff_id, true_chain, parent, cache_id, link, size) VALUES (?, ?, ?, ?, ?, ?, ?)",
          chainId,
          diffId,
          chainId,
          below ?? null,
          cacheId,
          cacheId.slice(0, 26),
          size,
        );
        // It can be the parent of snapshots.
        this.#snapshots.addChain(chainId);
        return this.get(chainId)!;
      },
      inherit: async () => undefined,
      abort: () => void (isOpen = false),
    };
  }

  hold(chainId: ChainId, lease: Lease): boolean {
    if (this.get(chainId) === undefined) return false;
    this.#leases.hold(lease, "layer", chainId);
    return true;
  }
}

function diffPath(cacheId: string): string {
  return `/overlay2/${cacheId}/diff`;
}

function toLayer(row: Row): Layer {
  const cacheId = textColumn(row, "cache_id");
  const parent = optionalText(row, "parent");
  return {
    chainId: parseChainId(textColumn(row, "chain_id")),
    diffId: parseDiffId(textColumn(row, "diff_id")),
    parent: parent === undefined ? undefined : parseChainId(parent),
    cacheId,
    diffPath: diffPath(cacheId),
    size: numberColumn(row, "size"),
  };
}
