/**
 * Rows that could not be written because of a full disk (or a damaged database). They are tried again until there is room, or until another
 * change of the container writes them.
 */
import { isEngineError, messageOf } from "@fathom/base";
import type { Container } from "../../container.ts";
import type { ContainersContext } from "../../context.ts";
import { clearRunDirectory } from "../../run-directory.ts";

const firstWaitMs = 250;
const longestWaitMs = 5000;

const writing = new WeakSet<ContainersContext>();

/**
 * Writes the row of a container that is locked and does not run. Then it removes the files that held the missing data.
 * @throws resource-exhausted while the disk is full
 */
export async function writeRow(engine: ContainersContext, container: Container): Promise<void> {
  engine.containers.update(container, {});
  engine.logger.info("the state of a container is written now", { id: container.id });
  if (container.process === undefined) await clearRunDirectory(engine, container.id);
}

/** Begins to try, unless it is already trying. If the daemon ends first, the next one finds the data in the supervisors' files. */
export function writeRowsLater(engine: ContainersContext, reason: unknown): void {
  if (writing.has(engine)) return;
  writing.add(engine);
  engine.logger.error(
    isEngineError(reason, "resource-exhausted")
      ? "the disk is full: the state of a container is not written yet; make room on the disk of the data root"
      : "the state of a container cannot be written; it is tried again",
    { dataRoot: engine.config.dataRoot, error: reason },
  );
  void (async () => {
    for (let waitMs = firstWaitMs; engine.containers.unwritten.size > 0; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
      await engine.clock.sleep(waitMs, engine.shuttingDown);
      for (const container of engine.containers.unwritten)
        await engine.mutex.run(container.id, async () => {
          if (engine.shuttingDown.aborted || !engine.containers.unwritten.has(container)) return;
          await writeRow(engine, container).catch((error) =>
            engine.logger.debug("a row cannot be written yet", { id: container.id, error: messageOf(error) }),
          );
        });
    }
  })()
    .catch((error) => {
      if (!engine.shuttingDown.aborted)
        engine.logger.error("writing the state of containers failed", { error: messageOf(error) });
    })
    .finally(() => writing.delete(engine));
}
