/** Snapshots as overlay2 directories. */
import { chmodSync, existsSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { EngineError, KeyedMutex, randomId, Turns } from "@fathom/base";
import { parseChainId, sha256Digest, type ChainId } from "@fathom/spec";
import type { Sys } from "@fathom/sys";
import type {
  Database,
  Layer,
  LayerCopy,
  LayerStore,
  Reached,
  Snapshot,
  SnapshotOwner,
  Snapshotter,
  UnpackedLayer,
} from "../contract.ts";
import { optionalText, textColumn, type Row } from "../database/rows.ts";
import { storageError } from "../errors.ts";
import type { StoreLeases } from "../leases/leases.ts";
import type { Trash } from "../trash.ts";
import { copyLayer } from "../tree/copy-layer.ts";
import { changesOf } from "../tree/changes.ts";
import { diskUsage } from "../tree/disk-usage.ts";
import { sealLayer } from "../tree/seal-layer.ts";
import { openRoot } from "../tree/tree.ts";
import { chainLinks, needChain, ownChainId, refuseDepth, toLayer } from "./chain.ts";
import { describeChain } from "./describe-chain.ts";
import { randomLink, type OverlayLayout } from "./layout.ts";
import { addOwnFiles } from "./own-files.ts";

export interface SnapshotterParts {
  readonly database: Database;
  readonly layout: OverlayLayout;
  readonly layers: LayerStore;
  readonly trash: Trash;
  readonly sys: Sys;
  readonly leases: StoreLeases;
  readonly bootId: string;
  /** Asks to make everything written so far durable, in the background. */
  readonly requestSync: () => void;
}

/**
 * Mount options for every overlay of a snapshot, if the kernel knows them. The kernel's defaults depend on its configuration; with redirect_dir
 * or metacopy, a writable layer alone would no longer show what was changed.
 */
const pinnedOptions = ["index", "redirect_dir", "metacopy"] as const;

function overlayOptions(): (readonly [string, string])[] {
  return pinnedOptions
    .filter((name) => existsSync(`/sys/module/overlay/parameters/${name}`))
    .map((name) => [name, "off"] as const);
}

/** DiffId of a tar without entries. */
const emptyDiffId: string = sha256Digest(new Uint8Array(1024));

const keyShape = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

const owners: ReadonlySet<string> = new Set<SnapshotOwner>(["container", "image-mount", "build"]);

function isOwner(text: string): text is SnapshotOwner {
  return owners.has(text);
}

interface Place {
  readonly key: string;
  readonly kind: Snapshot["kind"];
  readonly owner: SnapshotOwner;
  /** Below overlay2/. */
  readonly directory: string;
}

export function createOverlaySnapshotter(parts: SnapshotterParts): Snapshotter {
  const { database, layout, trash, sys, leases } = parts;
  const options = overlayOptions();
  const describing = new KeyedMutex();

  function toSnapshot(row: Row): Snapshot {
    const parent = optionalText(row, "parent");
    const owner = textColumn(row, "owner");
    const key = textColumn(row, "id");
    return snapshotAt(
      {
        key,
        kind: textColumn(row, "kind") === "view" ? "view" : "active",
        owner: isOwner(owner) ? owner : "container",
        directory: optionalText(row, "directory") ?? key,
      },
      parent === undefined ? undefined : parseChainId(parent),
    );
  }

  /** @param links Short links of the parent's chain, when the caller has them. */
  function snapshotAt(
    { key, kind, owner, directory }: Place,
    parent: ChainId | undefined,
    links = chainLinks(database, parent),
  ): Snapshot {
    const lowerPaths = links.map((link) => layout.linkPath(link));
    const diffPath = layout.diff(directory);
    const workPath = layout.work(directory);
    const mergedPath = layout.merged(directory);
    // An overlay needs a lower directory, and two when it is read-only: the snapshot's own empty ones are below all others.
    const mount =
      kind === "active"
        ? { lower: lowerPaths.length > 0 ? lowerPaths : [mergedPath], upper: diffPath, work: workPath, options }
        : { lower: [...lowerPaths, diffPath, ...(lowerPaths.length > 0 ? [] : [mergedPath])], options };
    return { key, kind, owner, parent, mount, diffPath, mergedPath, workPath, lowerPaths };
  }

  function rowOf(key: string): Row | undefined {
    return database.get("SELECT id, parent, link, kind, owner, directory FROM container_layers WHERE id = ?", key);
  }

  function get(key: string): Snapshot | undefined {
    const row = rowOf(key);
    return row === undefined ? undefined : toSnapshot(row);
  }

  function need(key: string): Snapshot {
    const snapshot = get(key);
    if (snapshot === undefined) throw new EngineError("not-found", `the writable layer of ${key} does not exist`);
    return snapshot;
  }

  /** The key; another name when a layer has that directory, because it was committed with this key. */
  function freeDirectory(key: string): string {
    return database.get("SELECT 1 AS found FROM layers WHERE cache_id = ?", key) === undefined ? key : randomId();
  }

  function make(key: string, chain: ChainId | undefined, kind: Snapshot["kind"], owner: SnapshotOwner): Snapshot {
    if (!keyShape.test(key) || key === "trash" || key === "l")
      throw new EngineError("invalid-argument", `invalid layer id ${JSON.stringify(key)}`);
    if (rowOf(key) !== undefined) throw new EngineError("conflict", `a writable layer ${key} exists already`);
    const parent = chain === undefined ? undefined : needChain(database, chain);
    const lower = chainLinks(database, parent);
    const link = randomLink();
    const directory = freeDirectory(key);
    try {
      layout.make(directory);
    } catch (error) {
      throw storageError(`make the writable layer of ${key}`, error);
    }
    try {
      chmodSync(layout.diff(directory), 0o755);
      layout.place(directory, link, lower);
      layout.makeWork(directory);
      layout.makeMerged(directory);
      if (kind === "active" && owner === "container")
        addOwnFiles(
          sys,
          layout.diff(directory),
          lower.map((name) => layout.linkPath(name)),
        );
      // The container's own row follows and makes this one durable; a layer row alone is removed at the next start.
      database.relaxed(() =>
        database.run(
          "INSERT INTO container_layers (id, parent, link, kind, owner, directory) VALUES (?, ?, ?, ?, ?, ?)",
          key,
          parent ?? null,
          link,
          kind,
          owner,
          directory === key ? null : directory,
        ),
      );
    } catch (error) {
      layout.discard(directory, link);
      trash.empty();
      throw storageError(`make the writable layer of ${key}`, error);
    }
    return snapshotAt({ key, kind, owner, directory }, parent, lower);
  }

  return {
    prepare: (key, parent, owner) => make(key, parent, "active", owner),
    view: (key, parent, owner) => make(key, parent, "view", owner),
    get,
    list: () =>
      database
        .all("SELECT id, parent, link, kind, owner, directory FROM container_layers ORDER BY id")
        .map((row) => toSnapshot(row)),
    mounts: (key) => need(key).mount,
    async commit(key, { lease }) {
      const snapshot = need(key);
      if (snapshot.kind === "view")
        throw new EngineError("invalid-argument", `the view ${key} cannot be committed: nothing is written to it`);
      const { parent, diffPath, mergedPath } = snapshot;
      const lower = chainLinks(database, parent);
      refuseDepth(lower);
      const chainId = ownChainId();
      // First: without a valid lease nothing is changed.
      leases.hold(lease, "layer", chainId);
      let size: number;
      try {
        size = await sealLayer(sys, diffPath, snapshot.lowerPaths);
      } catch (error) {
        throw storageError(`commit the writable layer of ${key}`, error);
      }
      const layer = database.transaction((): Layer => {
        // It may have been removed, or committed by another call, meanwhile.
        const row = rowOf(key);
        if (row === undefined || toSnapshot(row).diffPath !== diffPath)
          throw new EngineError("not-found", `the writable layer of ${key} does not exist any more`);
        const directory = optionalText(row, "directory") ?? key;
        layout.markCommitted(directory);
        leases.hold(lease, "layer", chainId);
        database.run("DELETE FROM container_layers WHERE id = ?", key);
        database.run(
          "INSERT INTO layers (chain_id, diff_id, parent, cache_id, link, size, boot) VALUES (?, '', ?, ?, ?, ?, ?)",
          chainId,
          parent ?? null,
          directory,
          textColumn(row, "link"),
          size,
          parts.bootId,
        );
        return toLayer(layout, database.get("SELECT * FROM layers WHERE chain_id = ?", chainId)!);
      });
      parts.requestSync();
      try {
        rmdirSync(mergedPath);
      } catch {
        // A layer is never mounted at this place; if the directory stays, it does no harm.
      }
      return layer;
    },
    async commitCopy(key, { lease, signal, copy = (job) => copyHere(sys, job, signal) }) {
      const { kind, parent, diffPath, lowerPaths } = need(key);
      if (kind === "view")
        throw new EngineError("invalid-argument", `the view ${key} cannot be committed: nothing is written to it`);
      refuseDepth(chainLinks(database, parent));
      // The snapshot may be removed meanwhile; then nothing would protect the layers below.
      if (parent !== undefined) leases.hold(lease, "layer", parent);
      const draft = parts.layers.draft();
      try {
        const { diffId, size, implied } = await copy({ diffPath, lowerPaths, targetPath: draft.diffPath });
        signal?.throwIfAborted();
        if (diffId === emptyDiffId) return undefined;
        await draft.inherit(parent, implied);
        return { ...draft.commit(parent, diffId, size, lease), diffId };
      } catch (error) {
        if (signal?.aborted === true) throw error;
        throw storageError(`commit the writable layer of ${key}`, error);
      } finally {
        draft.abort();
      }
    },
    async changes(key) {
      const { diffPath, lowerPaths, kind } = need(key);
      return kind === "view" ? [] : changesOf(sys, diffPath, lowerPaths);
    },
    async usage(key) {
      return diskUsage(sys, need(key).diffPath);
    },
    async remove(key) {
      const row = rowOf(key);
      if (row === undefined) return;
      // The row first: a crash in between leaves a directory without a row, which recovery removes.
      database.relaxed(() => database.run("DELETE FROM container_layers WHERE id = ?", key));
      try {
        layout.discard(optionalText(row, "directory") ?? key, textColumn(row, "link"));
      } catch (error) {
        throw storageError(`remove the writable layer of ${key} (is it still mounted?)`, error);
      }
      trash.empty();
    },
    // One at a time: the second caller finds the DiffIds that the first one wrote.
    describe: (top, how = {}) => describing.run("", () => describeChain(parts, top, how)),
    preview: (key, parent) => snapshotAt({ key, kind: "active", owner: "container", directory: key }, parent),
    openChain(top) {
      const lower = chainLinks(database, top).map((link) => layout.linkPath(link));
      if (lower.length > 1) return sys.openOverlay({ lower, options });
      // An overlay needs at least two directories. When there is no layer, the folder of links takes its place: it has no file of an image.
      return openRoot(sys, lower[0] ?? join(layout.directory, "l"));
    },
  };
}

function copyHere(sys: Sys, copy: LayerCopy, signal: AbortSignal | undefined): Promise<UnpackedLayer> {
  const turns = new Turns(signal);
  return copyLayer(sys, copy, (chunk) => turns.after(chunk.length));
}

/** A root of the collector: the layers below containers, mounted images and build steps. */
export function reachedBySnapshots(database: Database): Reached {
  return {
    layers: database
      .all("SELECT DISTINCT parent FROM container_layers WHERE parent IS NOT NULL")
      .map((row) => parseChainId(textColumn(row, "parent"))),
  };
}
