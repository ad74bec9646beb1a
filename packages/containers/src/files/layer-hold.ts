/**
 * Readers of a container's files (commit, export, cp, diff). They take long, so they do not hold the container's lock: a stop, a kill or a
 * removal can happen meanwhile. The files stay until the last reader has finished; a removal leaves it to that reader to remove the layers.
 */
import type { Container } from "../container.ts";

/** Disposing releases the files. Call it while the container is known (`engine.containers.byId`), with no `await` in between. */
export function holdLayers(container: Container): Disposable {
  container.layerReaders++;
  let held = true;
  return {
    [Symbol.dispose]() {
      if (!held) return;
      held = false;
      container.layerReaders--;
      if (container.layerReaders > 0) return;
      container.whenUnread?.();
      container.whenUnread = undefined;
    },
  };
}

/** Holds the layers until `stream` has ended, in whatever way. Then it disposes of `resources`, the last first. */
export async function* whileStreamed(
  stream: AsyncIterable<Uint8Array>,
  ...resources: readonly Disposable[]
): AsyncGenerator<Uint8Array> {
  using stack = new DisposableStack();
  for (const resource of resources) stack.use(resource);
  yield* stream;
}
