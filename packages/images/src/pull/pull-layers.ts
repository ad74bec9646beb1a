/** The layers of a pulled image: the missing ones are downloaded at the same time, and each is committed after the layer below it. */
import { isEngineError, type Logger } from "@fathom/base";
import type { BlobSource } from "@fathom/distribution";
import type { Lease, Store } from "@fathom/store";
import type { PullEvent, PullPhase } from "../contract.ts";
import type { LayerPulls, WantedLayer } from "./layer-pulls.ts";

export interface LayerParts {
  readonly store: Store;
  readonly layers: LayerPulls;
  readonly logger: Logger;
}

/** All layers at the same time; the first failure cancels the others. */
export async function pullLayers(
  { store, layers, logger }: LayerParts,
  source: () => BlobSource,
  wanted: readonly WantedLayer[],
  lease: Lease,
  outer: AbortSignal,
  emit: (event: PullEvent) => void,
): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([outer, failed.signal]);
  const missing: WantedLayer[] = [];
  const running: Promise<unknown>[] = [];
  for (const layer of wanted) {
    const held = store.layers.hold(layer.chainId, lease);
    if (!held) missing.push(layer);
    // Its directory exists but its blob may be missing, when it came with another compression or its image was removed. A push or a save needs
    // the blob; running the image does not. So it is no failure if the registry does not have it.
    else
      running.push(
        layers.blob(layer, source, lease, signal).catch((error: unknown) => {
          if (signal.aborted) throw error;
          logger.warn("the compressed form of a layer could not be fetched", {
            error,
            digest: layer.descriptor.digest,
          });
        }),
      );
    emit(layerEvent(layer, held ? "present" : "queued", 0));
  }
  let before: Promise<unknown> = Promise.resolve();
  for (const layer of missing) {
    const { size } = layer.descriptor;
    const predecessor = before;
    const done = layers.with(
      layer,
      source,
      (event) => {
        if (event.kind === "waiting") emit(layerEvent(layer, "waiting", 0));
        else if (event.kind === "downloaded") emit(layerEvent(layer, "downloaded", size));
        else if (event.current > 0 && event.current < size) emit(layerEvent(layer, "downloading", event.current));
      },
      signal,
      async (filled) => {
        await predecessor;
        await filled.commit(lease);
        emit(layerEvent(layer, "unpacked", size));
      },
    );
    before = done;
    running.push(
      done.catch((error: unknown) => {
        failed.abort();
        throw error;
      }),
    );
  }
  const outcomes = await Promise.allSettled(running);
  const errors = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
  // The cancelled ones only follow from the first failure.
  const cause = errors.find((error) => !isEngineError(error, "aborted")) ?? errors[0];
  if (cause !== undefined) throw cause;
}

function layerEvent({ descriptor }: WantedLayer, phase: PullPhase, current: number): PullEvent {
  return { kind: "layer", layer: descriptor.digest, phase, current, total: descriptor.size };
}
