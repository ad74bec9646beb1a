/** Containers that have a description but are not in the database, because the database is from an older backup or was made again. */
import { readdirSync } from "node:fs";
import { shortId } from "@fathom/base";
import { anonymousLabel } from "@fathom/volumes";
import type { ContainersContext } from "../context.ts";
import { containerPaths, containersRoot } from "../paths.ts";
import type { ContainerRecord } from "../record.ts";
import { readDescription } from "../rows/description-file.ts";
import type { RecordForm } from "../rows/record-form.ts";

/** Gives them their rows. Called before the recovery, which finds their processes. */
export async function takeUpDescribed(
  { config, containers, store, volumes, logger }: ContainersContext,
  form: RecordForm,
): Promise<void> {
  const known = new Set([...containers.list(), ...containers.unfinished].map(({ id }) => id));
  for (const id of readdirSync(containersRoot(config))) {
    const description = known.has(id) ? undefined : readDescription(config, id);
    if (description === undefined || store.snapshots.get(id) === undefined) continue;
    const record = form.readDescribed(description.record, containerPaths(config, id).description);
    const name = containers.nameTaken(record.name) === undefined ? record.name : `${record.name}-${shortId(id)}`;
    for (const mount of record.mounts)
      if (mount.name !== undefined && mount.image === undefined && volumes.get(mount.name) === undefined)
        await volumes.ensure({
          name: mount.name,
          driver: mount.driver ?? "",
          options: {},
          labels: mount.anonymous ? { [anonymousLabel]: "" } : {},
        });
    containers.reserve(name, id);
    const taken: ContainerRecord = {
      ...record,
      name,
      // The recovery looks for a process if the description says that one runs. A removal that had begun must be requested again.
      state: record.state.status === "removing" ? { ...record.state, status: "exited" } : record.state,
      pending: undefined,
    };
    containers.insert(taken, "unknown");
    logger.warn("a container was not in the database (an older backup?) and was added from its description", {
      id,
      name,
      described: record.name,
    });
  }
}
