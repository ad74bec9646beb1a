/**
 * Readers of a container's files (commit, export, cp, diff). They take long, so they do not hold the container's lock: a stop, a kill, a removal go
 * on meanwhile. What they read stays until the last of them has done: a removal leaves the layers to it.
 */
import type { Container } from "../container.ts";

/** Disposing lets go. To be called while the container is known (`engine.containers.byId`), with no `await` since. */
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

/** Holds the layers until `stream` has ended, in whatever way, and then disposes of `resources`, the last first. */
export async function* whileStreamed(
  stream: AsyncIterable<Uint8Array>,
  ...resources: readonly Disposable[]
): AsyncGenerator<Uint8Array> {
  using stack = new DisposableStack();
  for (const resource of resources) stack.use(resource);
  yield* stream;
}
