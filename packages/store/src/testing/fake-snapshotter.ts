/**
 * Snapshots in memory, for tests of packages above: flat files, no directories. It passes snapshotter-suite.ts, as the real one does. Wrap it
 * in `Faults` to make calls fail or hang.
 */
import { EngineError, KeyedMutex } from "@fathom/base";
import { parseDiffId, sha256Digest, type ChainId, type DiffId } from "@fathom/spec";
import type {
  Change,
  CopiedLayer,
  CopyOptions,
  DescribedChainLayer,
  DescribeOptions,
  Layer,
  Lease,
  Snapshot,
  SnapshotOwner,
  Snapshotter,
} from "../contract.ts";
import { chainIdOn, layerLimit, ownChainId } from "../snapshots/chain.ts";

/** Texts by path; undefined for a path that was removed from the layers below. */
type Files = ReadonlyMap<string, string | undefined>;

interface FakeLayer {
  readonly chainId: ChainId;
  readonly parent: ChainId | undefined;
  readonly files: Files;
  described: { readonly diffId: DiffId; readonly chainId: ChainId; readonly tarSize: number } | undefined;
}

interface FakeSnapshot {
  readonly snapshot: Snapshot;
  readonly files: Map<string, string | undefined>;
}

export class FakeSnapshotter implements Snapshotter {
  readonly #snapshots = new Map<string, FakeSnapshot>();
  readonly #layers = new Map<ChainId, FakeLayer>();
  readonly #released = new Set<string>();
  readonly #describing = new KeyedMutex();

  get keys(): ReadonlySet<string> {
    return new Set(this.#snapshots.keys());
  }

  get chains(): ChainId[] {
    return [...this.#layers.keys()];
  }

  /** A chain of one existing layer. */
  addChain(chainId: ChainId, files: Files = new Map()): void {
    const diffId = parseDiffId(sha256Digest(JSON.stringify([...files])));
    this.#layers.set(chainId, { chainId, parent: undefined, files, described: { diffId, chainId, tarSize: 0 } });
  }

  releaseLease(lease: Lease): void {
    this.#released.add(lease.id);
  }

  /** As a process in the snapshot would do it. */
  write(key: string, path: string, text: string): void {
    this.#need(key).files.set(path, text);
  }

  delete(key: string, path: string): void {
    const { snapshot, files } = this.#need(key);
    if (this.#below(snapshot.parent, path) === undefined) files.delete(path);
    else files.set(path, undefined);
  }

  read(key: string, path: string): string | undefined {
    const { snapshot, files } = this.#need(key);
    return files.has(path) ? files.get(path) : this.#below(snapshot.parent, path);
  }

  prepare(key: string, parent: ChainId | undefined, owner: SnapshotOwner): Snapshot {
    return this.#make(key, parent, "active", owner);
  }

  view(key: string, parent: ChainId | undefined, owner: SnapshotOwner): Snapshot {
    return this.#make(key, parent, "view", owner);
  }

  get(key: string): Snapshot | undefined {
    return this.#snapshots.get(key)?.snapshot;
  }

  list(): Snapshot[] {
    return [...this.#snapshots.values()]
      .map(({ snapshot }) => snapshot)
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  }

  mounts(key: string): Snapshot["mount"] {
    return this.#need(key).snapshot.mount;
  }

  async commit(key: string, { lease }: { readonly lease: Lease }): Promise<Layer> {
    const { snapshot, files } = this.#need(key);
    if (snapshot.kind === "view")
      throw new EngineError("invalid-argument", `the view ${key} cannot be committed: nothing is written to it`);
    if (this.#chain(snapshot.parent).length + 1 > layerLimit)
      throw new EngineError("invalid-argument", `max depth exceeded: an image may have ${layerLimit} layers`);
    if (this.#released.has(lease.id))
      throw new EngineError("not-found", `lease ${lease.id} does not exist: it was released`);
    const layer: FakeLayer = { chainId: ownChainId(), parent: snapshot.parent, files, described: undefined };
    this.#snapshots.delete(key);
    this.#layers.set(layer.chainId, layer);
    return toLayer(layer);
  }

  async commitCopy(key: string, { lease, signal }: CopyOptions): Promise<CopiedLayer | undefined> {
    const { snapshot, files } = this.#need(key);
    if (snapshot.kind === "view")
      throw new EngineError("invalid-argument", `the view ${key} cannot be committed: nothing is written to it`);
    const below = this.#chain(snapshot.parent);
    if (below.length + 1 > layerLimit)
      throw new EngineError("invalid-argument", `max depth exceeded: an image may have ${layerLimit} layers`);
    if (this.#released.has(lease.id))
      throw new EngineError("not-found", `lease ${lease.id} does not exist: it was released`);
    signal?.throwIfAborted();
    if (files.size === 0) return undefined;
    const { diffId, tarSize } = tarOf(files);
    const chainId = chainIdOn(below[0]?.described?.chainId ?? below[0]?.chainId, diffId);
    const known = this.#layers.get(chainId);
    const layer: FakeLayer = known ?? {
      chainId,
      parent: snapshot.parent,
      files: new Map(files),
      described: { diffId, chainId, tarSize },
    };
    this.#layers.set(chainId, layer);
    return { ...toLayer(layer), diffId };
  }

  async changes(key: string): Promise<Change[]> {
    const { snapshot, files } = this.#need(key);
    return [...files]
      .map(([path, text]): Change => {
        const isNew = this.#below(snapshot.parent, path) === undefined;
        return { path: `/${path}`, kind: text === undefined ? 2 : isNew ? 1 : 0 };
      })
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async usage(key: string): Promise<number> {
    return sizeOf(this.#need(key).files);
  }

  async remove(key: string): Promise<void> {
    this.#snapshots.delete(key);
  }

  async describe(top: ChainId, options: DescribeOptions = {}): Promise<DescribedChainLayer[]> {
    return this.#describing.run("", () => this.#describe(top, options));
  }

  async #describe(top: ChainId, { signal, tar }: DescribeOptions): Promise<DescribedChainLayer[]> {
    const described: DescribedChainLayer[] = [];
    for (const layer of this.#chain(top).toReversed()) {
      signal?.throwIfAborted();
      if (layer.described === undefined) {
        const { bytes, diffId, tarSize } = tarOf(layer.files);
        await tar?.(toLayer(layer))(bytes);
        layer.described = { diffId, chainId: chainIdOn(described.at(-1)?.chainId, diffId), tarSize };
      }
      described.push({ ...layer.described, size: sizeOf(layer.files) });
    }
    return described;
  }

  preview(key: string, parent: ChainId | undefined): Snapshot {
    this.#chain(parent);
    return snapshotOf(key, parent, "active", "container");
  }

  openChain(top: ChainId | undefined): number {
    this.#chain(top);
    return 89;
  }

  #make(key: string, chain: ChainId | undefined, kind: Snapshot["kind"], owner: SnapshotOwner): Snapshot {
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(key))
      throw new EngineError("invalid-argument", `invalid layer id ${JSON.stringify(key)}`);
    if (this.#snapshots.has(key)) throw new EngineError("conflict", `a writable layer ${key} exists already`);
    const snapshot = snapshotOf(key, this.#chain(chain)[0]?.chainId, kind, owner);
    this.#snapshots.set(key, { snapshot, files: new Map() });
    return snapshot;
  }

  #need(key: string): FakeSnapshot {
    const found = this.#snapshots.get(key);
    if (found === undefined) throw new EngineError("not-found", `the writable layer of ${key} does not exist`);
    return found;
  }

  /** The topmost first. */
  #chain(top: ChainId | undefined): FakeLayer[] {
    const layers: FakeLayer[] = [];
    for (let at = top; at !== undefined;) {
      const chainId = at;
      const layer =
        this.#layers.get(chainId) ?? [...this.#layers.values()].find(({ described }) => described?.chainId === chainId);
      if (layer === undefined) throw new EngineError("not-found", `layer ${at} does not exist`);
      layers.push(layer);
      at = layer.parent;
    }
    return layers;
  }

  #below(top: ChainId | undefined, path: string): string | undefined {
    return this.#chain(top)
      .find(({ files }) => files.has(path))
      ?.files.get(path);
  }
}

function tarOf(files: Files): { readonly bytes: Uint8Array; readonly diffId: DiffId; readonly tarSize: number } {
  const bytes = Buffer.from(JSON.stringify([...files].sort()));
  return { bytes, diffId: parseDiffId(sha256Digest(bytes)), tarSize: bytes.length };
}

function sizeOf(files: Files): number {
  return [...files.values()].reduce((sum, text) => sum + Buffer.byteLength(text ?? ""), 0);
}

function toLayer({ chainId, parent, files, described }: FakeLayer): Layer {
  const cacheId = chainId.slice(-12);
  return {
    chainId,
    diffId: described?.diffId,
    parent,
    cacheId,
    diffPath: `/overlay2/${cacheId}/diff`,
    size: sizeOf(files),
  };
}

function snapshotOf(key: string, parent: ChainId | undefined, kind: Snapshot["kind"], owner: SnapshotOwner): Snapshot {
  return {
    key,
    kind,
    owner,
    parent,
    mount: kind === "active" ? { lower: ["/lower"], upper: "/upper", work: "/work" } : { lower: ["/lower"] },
    diffPath: `/overlay2/${key}/diff`,
    mergedPath: `/overlay2/${key}/merged`,
    workPath: `/overlay2/${key}/work`,
    lowerPaths: ["/lower"],
  };
}
