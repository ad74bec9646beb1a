/**
 * `fathom explain run`: the launch plan of a container that is made for the question and removed again. Nothing is launched, no network is
 * attached.
 */
import { explain } from "@fathom/runtime";
import type { ContainerCreateRequest } from "@fathom/spec";
import { createContainer } from "./container-create.ts";
import { removeContainer } from "./container-remove.ts";
import type { EngineContext } from "./context.ts";
import { discard } from "./stems.ts";
import { joinedNamespaces, translate } from "./translate.ts";

export async function explainRun(engine: EngineContext, body: ContainerCreateRequest): Promise<{ Text: string }> {
  // Named volumes that only the question made go with it.
  const isNew = (name: string | undefined): name is string => name !== undefined && !before.has(name);
  const before = new Set(engine.volumes.volumeNames());
  const { Id } = await createContainer(engine, undefined, undefined, body);
  const container = engine.containers.find(Id);
  try {
    const joins = joinedNamespaces(engine, container.record);
    const layer = engine.store.containers.get(Id)!;
    const rootFd = engine.sys.openOverlay(layer.mount);
    try {
      const translation = translate(engine, container, rootFd, layer, joins);
      // A cgroup of its own, as for the run: the plan names its files.
      const stem = await engine.stems.claim(
        Id,
        container.record.cgroupPath,
        (cgroup) => translation.compile(cgroup).stem,
      );
      try {
        return { Text: explain(translation.compile(stem.cgroup)) };
      } finally {
        await discard(stem);
      }
    } finally {
      engine.sys.close(rootFd);
    }
  } finally {
    const made = container.record.mounts.map((mount) => mount.name).filter(isNew);
    await engine.mutex.run(Id, () => removeContainer(engine, container, { volumes: true }));
    for (const name of made) await engine.volumes.removeIfUnused(name, Id);
  }
}
