/** docker commit: the container's side of it. The image half makes the image. */
import { EngineError } from "@fathom/base";
import type { CommitRequest } from "@fathom/spec";
import type { RunConfig } from "./commit-changes.ts";
import { publish, type EngineContext } from "./context.ts";

export async function commitContainer(engine: EngineContext, request: CommitRequest): Promise<{ Id: string }> {
  const container = engine.containers.find(request.container);
  const { record } = container;
  if (record.imageId === "")
    throw new EngineError("conflict", `the image of container ${record.id} is gone: it cannot be committed`);
  const parent = record.imageId;
  const cgroup = request.pause && !container.paused ? container.process?.cgroup : undefined;
  // A frozen container's files do not change while they are read.
  if (cgroup !== undefined) await cgroup.freeze();
  try {
    const { id, name } = await engine.images.commit({
      containerId: record.id,
      parent,
      config: { ...runConfigOf(record.config), ...(request.config === undefined ? {} : runConfigOf(request.config)) },
      changes: request.changes,
      repository: request.repository,
      tag: request.tag,
      author: request.author,
      comment: request.comment,
      createdBy: [...(record.config.Entrypoint ?? []), ...(record.config.Cmd ?? [])].join(" "),
    });
    publish(engine, container, "commit", { comment: request.comment, imageID: id, imageRef: name ?? "" });
    return { Id: id };
  } finally {
    if (cgroup !== undefined) await cgroup.thaw();
  }
}

/** What an image's config has of a container's. */
function runConfigOf(config: Partial<EngineConfigOfContainer>): RunConfig {
  return {
    ...(config.User ? { User: config.User } : {}),
    ...(config.ExposedPorts && Object.keys(config.ExposedPorts).length > 0
      ? { ExposedPorts: config.ExposedPorts }
      : {}),
    ...(config.Env && config.Env.length > 0 ? { Env: config.Env } : {}),
    ...(config.Entrypoint ? { Entrypoint: config.Entrypoint } : {}),
    ...(config.Cmd ? { Cmd: config.Cmd } : {}),
    ...(config.Volumes && Object.keys(config.Volumes).length > 0 ? { Volumes: config.Volumes } : {}),
    ...(config.WorkingDir ? { WorkingDir: config.WorkingDir } : {}),
    ...(config.Labels && Object.keys(config.Labels).length > 0 ? { Labels: config.Labels } : {}),
    ...(config.StopSignal ? { StopSignal: config.StopSignal } : {}),
  };
}

type EngineConfigOfContainer = NonNullable<CommitRequest["config"]>;
