/** DiffIds for layers that were committed without a tar. */
import { realpathSync } from "node:fs";
import { EngineError, Turns } from "@fathom/base";
import type { ChainId, DiffId } from "@fathom/spec";
import type { Sys } from "@fathom/sys";
import type { Database, DescribedChainLayer, DescribeOptions } from "../contract.ts";
import { storageError } from "../errors.ts";
import { writeLayerDiff } from "../tree/write-diff.ts";
import { chainIdOn, chainLayers, type LayerRow } from "./chain.ts";
import type { OverlayLayout } from "./layout.ts";

export interface DescribeParts {
  readonly database: Database;
  readonly layout: OverlayLayout;
  readonly sys: Sys;
}

interface Tar {
  readonly diffId: DiffId;
  readonly tarSize: number | undefined;
}

export async function describeChain(
  parts: DescribeParts,
  top: ChainId,
  { signal, tar }: DescribeOptions,
): Promise<DescribedChainLayer[]> {
  const { database, layout } = parts;
  const layers = chainLayers(database, layout, top).toReversed();
  const described: DescribedChainLayer[] = [];
  const lowerPaths: string[] = [];
  for (const layer of layers) {
    signal?.throwIfAborted();
    const { diffId: known, tarSize } = layer;
    const written: Tar =
      known === undefined
        ? await writeTar(parts.sys, layer, lowerPaths, tar?.(layer), signal)
        : { diffId: known, tarSize };
    const chainId = chainIdOn(described.at(-1)?.chainId, written.diffId);
    if (layer.trueChain === undefined) remember(database, layer, written, chainId);
    described.push({ chainId, size: layer.size, ...written });
    lowerPaths.unshift(realpathSync(layout.linkPath(layer.link)));
  }
  return described;
}

async function writeTar(
  sys: Sys,
  layer: LayerRow,
  lowerPaths: readonly string[],
  sink: ((chunk: Uint8Array) => void | Promise<void>) | undefined,
  signal: AbortSignal | undefined,
): Promise<Tar> {
  const turns = new Turns(signal);
  try {
    const { diffId, size } = await writeLayerDiff(sys, layer.diffPath, lowerPaths, async (chunk) => {
      await sink?.(chunk);
      await turns.after(chunk.length);
    });
    return { diffId, tarSize: size };
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw storageError(`write the layer ${layer.chainId} as a tar`, error);
  }
}

function remember(database: Database, layer: LayerRow, { diffId, tarSize }: Tar, chainId: ChainId): void {
  const { changes } = database.run(
    "UPDATE layers SET diff_id = ?, tar_size = ?, true_chain = ? WHERE chain_id = ?",
    diffId,
    tarSize ?? null,
    chainId,
    layer.chainId,
  );
  if (changes === 0) throw new EngineError("not-found", `layer ${layer.chainId} does not exist any more`);
}
