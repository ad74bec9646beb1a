/** Makes a new container from its record: either everything that it has outside the row, or nothing. */
import { mkdirSync } from "node:fs";
import { messageOf } from "@fathom/base";
import type { ContainersContext } from "../../context.ts";
import { containerPaths } from "../../paths.ts";
import type { ContainerRecord } from "../../record.ts";
import { createImageLayer, removeImageLayers } from "../../steps/image-mounts.ts";
import {
  fillFirstUses,
  makeVolumes,
  plannedMounts,
  removeMadeVolumes,
  type WantedMount,
} from "../../steps/new-mounts.ts";
import { StepFailure } from "../step-failure.ts";
import { StepList } from "../step-list.ts";

/** The steps of a create, in their order. */
export type CreateStage = "directory" | "layer" | "row" | "images" | "volumes" | "content";

interface Create {
  readonly engine: ContainersContext;
  readonly record: ContainerRecord;
  readonly wanted: readonly WantedMount[];
  /** Volumes or mounted images must be made too: meanwhile the row says "creating", and no client sees it. */
  readonly makesMore: boolean;
}

const createSteps = StepList.of<CreateStage, Create>()
  .add({
    stage: "directory",
    makes: "directory",
    // Before the row exists, a crash leaves a layer and a directory without a row: the next start removes them.
    run: ({ engine, record }) => void mkdirSync(containerPaths(engine.config, record.id).directory, { mode: 0o710 }),
    undo: ({ engine, record }) => engine.files.remove(containerPaths(engine.config, record.id).directory),
  })
  .add({
    stage: "layer",
    makes: "layer",
    run: ({ engine, record }) => engine.store.snapshots.prepare(record.id, record.topLayer, "container"),
    undo: ({ engine, record, layer }) => (layer === undefined ? undefined : engine.store.snapshots.remove(record.id)),
  })
  .add({
    stage: "row",
    makes: "container",
    // That removal does not include volumes. So the row is written first and marks the container as half made.
    run: ({ engine, record, wanted, makesMore }) =>
      engine.containers.insert({
        ...record,
        mounts: plannedMounts(wanted),
        ...(makesMore ? { pending: "creating" } : {}),
      }),
    undo: ({ engine, container }) => (container === undefined ? undefined : engine.machine.apply(container, "removed")),
  })
  .add({
    stage: "images",
    makes: "images",
    run: ({ engine, wanted }) => {
      for (const { image } of wanted) if (image !== undefined) createImageLayer(engine, image);
    },
    undo: ({ engine, container }) => removeImageLayers(engine, container.record),
  })
  .add({
    stage: "volumes",
    makes: "volumes",
    run: ({ engine, container, wanted, makesMore }) =>
      makesMore ? makeVolumes(engine.volumes, container.id, wanted) : { mounts: container.record.mounts, made: [] },
    undo: ({ engine, container, volumes }) => removeMadeVolumes(engine.volumes, container.id, volumes?.made ?? []),
  })
  .add({
    stage: "content",
    makes: "content",
    run: ({ engine, layer, volumes, makesMore }) =>
      makesMore ? fillFirstUses(engine, layer, volumes.mounts) : undefined,
  })
  .add({
    stage: "row",
    makes: "followed",
    // The container is visible from here on. Nothing after it can fail.
    run: ({ engine, container, volumes, makesMore }) => ({
      promise: engine.machine.apply(container, "made", makesMore ? { patch: { mounts: volumes.mounts } } : {}),
    }),
  });

/**
 * Makes layer, directory, volumes, row; the name must be reserved. When a step fails, the others are undone.
 * @throws StepFailure with a CreateStage
 */
export async function makeContainer(
  engine: ContainersContext,
  record: ContainerRecord,
  wanted: readonly WantedMount[],
): Promise<void> {
  const makesMore = wanted.some((mount) => mount.volume !== undefined || mount.image !== undefined);
  const result = await createSteps.run(
    { engine, record, wanted, makesMore },
    {
      undoFailed: (step, error) =>
        engine.logger.error("undoing a step of a create failed", { step, id: record.id, error: messageOf(error) }),
    },
  );
  if (result.kind === "failed") throw StepFailure.of(result.stage, result.reason);
  await result.made.followed.promise;
}
