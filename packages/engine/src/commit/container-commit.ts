/** docker commit, the container's part. The part of images makes the image. */
import { dockerOf } from "../containers/docker-extension.ts";
import { EngineError } from "@fathom/base";
import type { CommitRequest, ContainerConfig } from "@fathom/spec";
import { applyChanges, type RunConfig } from "./changes.ts";
import { mergeRunConfig } from "../containers/create/config-merge.ts";
import { locked, publish, freezeForCommit, holdLayers } from "@fathom/containers";
import type { EngineContext } from "../context.ts";

/**
 * The container is locked only while it is frozen and while it continues, not while its files are read; the files are held instead. Meanwhile
 * the container may be paused, stopped, killed or removed; the image is complete in all cases.
 */
export async function commitContainer(
  engine: EngineContext,
  request: CommitRequest,
  signal: AbortSignal,
): Promise<{ Id: string }> {
  const container = engine.containers.find(request.container);
  await using stack = new AsyncDisposableStack();
  const record = await locked(engine, container, async () => {
    if (container.record.pending !== undefined)
      throw new EngineError("conflict", `You cannot commit container ${container.id} which is being removed`);
    stack.use(holdLayers(container));
    const { process } = container;
    // The files of a frozen container do not change while they are read.
    if (request.pause && process !== undefined) stack.use(await freezeForCommit(engine, container, process));
    return container.record;
  });
  if (record.imageId === "")
    throw new EngineError(
      "conflict",
      `the image of container ${record.id} was removed: the container cannot be committed`,
    );
  const parent = record.imageId;
  // The configuration from the client has priority. Without it, the changes apply to the container's configuration.
  const base = runConfigOf(request.config ?? dockerOf(record).config);
  const changed = applyChanges(base, request.changes);
  const config = runConfigOf({ ...changed, ...mergeRunConfig(changed, dockerOf(record).config) });
  const { id, name } = await engine.images.commit(
    {
      containerId: record.id,
      parent,
      config,
      repository: request.repository,
      tag: request.tag,
      author: request.author,
      comment: request.comment,
      createdBy: (dockerOf(record).config.Cmd ?? []).join(" "),
    },
    signal,
  );
  publish(engine, container, "commit", { comment: request.comment, imageID: id, imageRef: name ?? "" });
  return { Id: id };
}

/** The parts of a container's configuration that an image's config has; empty parts are left out. */
function runConfigOf(config: Partial<ContainerConfig> | RunConfig): RunConfig {
  const { User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels } = config;
  const { StopSignal, Healthcheck, OnBuild, Shell } = config;
  const all = {
    User,
    ExposedPorts,
    Env,
    Entrypoint,
    Cmd,
    Volumes,
    WorkingDir,
    Labels,
    StopSignal,
    Healthcheck,
    OnBuild,
    Shell,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value && Object.keys(value).length > 0));
}
