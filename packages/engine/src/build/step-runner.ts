/** A step of a build is an ordinary container, whose writable layer becomes the layer of the step. */
import { createConnection } from "node:net";
import { EngineError } from "@fathom/base";
import type { RanStep, RunStep, StepRunner } from "@fathom/builder";
import {
  attachContainer,
  type Container,
  locked,
  makeContainer,
  removeByName,
  startContainer,
  waitContainer,
} from "@fathom/containers";
import { decodeContainerCreate, FrameSplitter, isObject, type ContainerCreateRequest } from "@fathom/spec";
import { checkRequest, recordOf } from "../containers/create/create.ts";
import { makeName } from "../containers/create/names.ts";
import { dockerOf, type DockerExtension } from "../containers/docker-extension.ts";
import type { EngineContext } from "../context.ts";
import { inWords } from "../words/refusal-words.ts";

export function createStepRunner(engine: EngineContext): StepRunner {
  return {
    run: (step, signal) => runInContainer(engine, step, signal),
    owner: (spec, rootFd) => engine.oci.userInRoot(spec, rootFd),
  };
}

/** Containers of builds that an earlier daemon ran. Nobody will use their layers. */
export async function removeBuildSteps(engine: EngineContext): Promise<void> {
  for (const container of engine.containers.list())
    if (dockerOf(container.record).buildStep === true) await removeStep(engine, container);
}

async function runInContainer(engine: EngineContext, step: RunStep, signal: AbortSignal): Promise<RanStep> {
  const container = await makeStep(engine, step);
  try {
    const exitCode = await runToEnd(engine, container, step, signal);
    return {
      exitCode,
      commit: (lease) =>
        locked(engine, container, () => engine.store.snapshots.commit(container.id, { lease })),
      [Symbol.asyncDispose]: () => removeStep(engine, container),
    };
  } catch (error) {
    await removeStep(engine, container);
    signal.throwIfAborted();
    throw inWords(error);
  }
}

async function removeStep(engine: EngineContext, container: Container): Promise<void> {
  try {
    await removeByName(engine, container.id, { volumes: true, force: true, link: false });
  } catch (error) {
    engine.logger.warn("removing the container of a build step failed", { error, id: container.id });
  }
}

async function makeStep(engine: EngineContext, step: RunStep): Promise<Container> {
  const checked = await checkRequest(engine, undefined, requestOf(step));
  const id = engine.stems.newId();
  let name: string | undefined;
  try {
    name = makeName((candidate) => engine.containers.nameTaken(candidate) !== undefined);
    engine.containers.reserve(name, id);
    const { record, wanted } = recordOf(engine, checked, id, name);
    const { config, hostConfig } = dockerOf(record);
    const extension: DockerExtension = { config: { ...config, Image: step.image }, hostConfig, buildStep: true };
    await makeContainer(engine, { ...record, topLayer: step.parent, extension }, wanted);
    return engine.containers.find(id);
  } catch (error) {
    if (name !== undefined && engine.containers.nameTaken(name) === id) engine.containers.unreserve(name);
    engine.stems.drop(id);
    throw inWords(error);
  }
}

/** `settings` are the members of HostConfig that the client's request gave. */
function requestOf(step: RunStep): ContainerCreateRequest {
  const settings = isObject(step.settings) ? step.settings : {};
  const { User, WorkingDir, Labels, StopSignal } = step.config;
  return decodeContainerCreate({
    Cmd: step.command,
    Env: step.environment,
    User,
    WorkingDir,
    Labels: Labels ?? null,
    StopSignal,
    Image: "",
    AttachStdout: true,
    AttachStderr: true,
    HostConfig: {
      ...settings,
      ...(step.network === "default" ? {} : { NetworkMode: step.network }),
      LogConfig: { Type: "none" },
    },
  });
}

async function runToEnd(
  engine: EngineContext,
  container: Container,
  step: RunStep,
  signal: AbortSignal,
): Promise<number> {
  const ended = new AbortController();
  const both = AbortSignal.any([signal, ended.signal]);
  const attached = await attachContainer(
    engine,
    container,
    { stdin: false, stdout: true, stderr: true, logs: false, stream: true, detachKeys: new Uint8Array() },
    both,
  );
  const { result } = waitContainer(engine, container.id, "next-exit", both);
  result.catch(() => undefined);
  attached.stream?.catch(() => undefined);
  try {
    await locked(engine, container, () => startContainer(engine, container));
    step.started(container.id);
    const stream = await attached.stream;
    if (stream !== undefined) await readOutput(stream.fd, step, signal);
    return (await result).exitCode;
  } finally {
    ended.abort(new EngineError("aborted", "the step has ended"));
  }
}

/** Until the command and everything that it started have closed their output. */
async function readOutput(fd: number, step: RunStep, signal: AbortSignal): Promise<void> {
  // The runtime accepts `fd` here, which its types do not know.
  const options: { fd: number; allowHalfOpen: boolean } = { fd, allowHalfOpen: true };
  const socket = createConnection(options as never);
  const abort = (): void => void socket.destroy(new EngineError("aborted", "the build was cancelled"));
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  const frames = new FrameSplitter();
  try {
    for await (const chunk of socket) {
      if (!(chunk instanceof Uint8Array)) continue;
      for (const { stream, data } of frames.push(chunk)) {
        const wait = step.output(stream, data);
        if (wait !== undefined) await wait;
      }
    }
  } finally {
    signal.removeEventListener("abort", abort);
    socket.destroy();
  }
}
