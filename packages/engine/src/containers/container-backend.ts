/** Containers as servers use them: each method is a function in a file of its own. */
import { explainRun } from "./create/explain.ts";
import type { ContainerBackend, StopRequest } from "../backend.ts";
import {
  archiveGet,
  archiveStat,
  exportContainer,
  putArchive,
  attachContainer,
  containerLogs,
  removeByName,
  startContainer,
  killContainer,
  restartContainer,
  stopContainer,
  type StopOptions,
  type WaitResult,
  waitContainer,
  locked,
  mustRun,
  publish,
  pauseContainer,
  unpauseContainer,
  holdLayers,
  parseSignal,
  SIGKILL,
  containerProcesses,
} from "@fathom/containers";
import type { ContainerWaitResponse } from "@fathom/spec";
import { pruneContainers, renameContainer, resizeContainer, updateContainer } from "./change.ts";
import { commitContainer } from "../commit/container-commit.ts";
import { createContainer } from "./create/create.ts";
import { dockerOf } from "./docker-extension.ts";
import { parseDetachKeys } from "./detach-keys.ts";
import { listContainers } from "./shown/list.ts";
import { pathStat } from "./shown/path-stat.ts";
import { containerStats } from "./shown/stats.ts";
import { inspectContainer } from "./shown/view.ts";
import type { EngineContext } from "../context.ts";
import { inContext, inWords, saying } from "../words/refusal-words.ts";

/** @throws invalid-argument; the message begins with `action` */
function numbered({ signal = "", timeoutSeconds }: StopRequest, action?: string): StopOptions {
  try {
    return { signal: signal === "" ? undefined : parseSignal(signal), timeoutSeconds };
  } catch (error) {
    throw action === undefined ? error : inContext(action, inWords(error));
  }
}

function waitResponse({ exitCode, error }: WaitResult): ContainerWaitResponse {
  return { StatusCode: exitCode, ...(error === undefined ? {} : { Error: { Message: error } }) };
}

export function createContainerBackend(engine: EngineContext): ContainerBackend {
  return {
    list: (request) => listContainers(engine, request),
    create: (name, platform, body, rules) => createContainer(engine, name, platform, body, rules),
    explain: (name, platform, body) => explainRun(engine, name, platform, body),
    inspect: (name, size) => inspectContainer(engine, name, size),
    start: async (name, detachKeys = "") => {
      const container = engine.containers.find(name);
      const options = { detachKeys: parseDetachKeys(detachKeys, "detach") };
      await locked(engine, container, () => startContainer(engine, container, options));
    },
    stop: async (name, options) => {
      const container = engine.containers.find(name);
      const numbers = numbered(options, `cannot stop container: ${name}`);
      await stopContainer(engine, container, numbers);
    },
    restart: async (name, options) => {
      const container = engine.containers.find(name);
      await saying(`Cannot restart container ${name}`, async () =>
        restartContainer(engine, container, numbered(options)),
      );
    },
    kill: (name, signalName = "") =>
      saying(`cannot kill container: ${name}`, async () =>
        killContainer(engine, engine.containers.find(name), signalName === "" ? SIGKILL : parseSignal(signalName)),
      ),
    wait: async (name, condition, signal) => {
      const { result } = waitContainer(engine, name, condition, signal);
      return { result: result.then(waitResponse) };
    },
    remove: (name, options) => removeByName(engine, name, options),
    rename: (name, newName) => renameContainer(engine, name, newName),
    pause: async (name) => pauseContainer(engine, engine.containers.find(name)),
    unpause: async (name) => unpauseContainer(engine, engine.containers.find(name)),
    update: (name, body) => updateContainer(engine, name, body),
    resize: (name, rows, columns) => resizeContainer(engine, name, rows, columns),
    top: async (name, psArguments) => {
      const container = engine.containers.find(name);
      const { titles, rows } = await containerProcesses(mustRun(container).cgroup, psArguments);
      publish(engine, container, "top");
      return { Titles: titles, Processes: rows };
    },
    stats: async (name, request, signal) => containerStats(engine, engine.containers.find(name), request, signal),
    changes: async (name) => {
      const container = engine.containers.find(name);
      using _ = holdLayers(container);
      const changes = await engine.store.snapshots.changes(container.id);
      return changes.map(({ path, kind }) => ({ Path: path, Kind: kind }));
    },
    attach: async (name, { detachKeys = "", ...streams }, signal) => {
      const container = engine.containers.find(name);
      const request = { ...streams, detachKeys: parseDetachKeys(detachKeys, "detach") };
      return attachContainer(engine, container, request, signal);
    },
    logs: async (name, request, signal) => containerLogs(engine, engine.containers.find(name), request, signal),
    prune: (filters) => pruneContainers(engine, filters),
    archiveStat: async (name, path, signal) => pathStat(await archiveStat(engine, name, path, signal)),
    archiveGet: async (name, path, signal) => {
      const { stat, tar } = await archiveGet(engine, name, path, signal);
      return { stat: pathStat(stat), tar };
    },
    archivePut: async (name, { path, tar, noOverwriteDirNonDir, copyUidGid }, signal) => {
      const { hostConfig } = dockerOf(engine.containers.find(name).record);
      const request = {
        path,
        tar,
        keepKinds: noOverwriteDirNonDir,
        ownedByUser: copyUidGid,
        rootReadOnly: hostConfig.ReadonlyRootfs,
      };
      await putArchive(engine, name, request, signal);
    },
    export: async (name, signal) => exportContainer(engine, name, signal),
    commit: (request, signal) => commitContainer(engine, request, signal),
  };
}
