/**
 * From the terms of containers to the runtime's: the OCI configuration that the owner of the extension makes of a record, and the launch plan
 * and limits; the same for an additional process.
 */
import { existsSync } from "node:fs";
import {
  compile,
  compileExec,
  LaunchFailure,
  mountPointOf,
  resourcesFromOci,
  type Cgroup,
  type LaunchPlan,
  type LaunchStage,
  type Resources,
} from "@fathom/runtime";
import type { Snapshot } from "@fathom/store";
import { effectiveHostname } from "../host-name.ts";
import type { Container, RunningProcess } from "../container.ts";
import type { ContainerRecord } from "../record.ts";
import type { ContainersContext } from "../context.ts";
import type { ExecSpec } from "../exec/exec-spec.ts";
import { containerPaths, sharedMemoryPath } from "../paths.ts";
import { runningLinks, startableLinks } from "../links.ts";
import type { Joins } from "./joined-namespaces.ts";

const hasKcore = existsSync("/proc/kcore");

export interface Translation {
  readonly resources: Resources;
  compile(cgroup: Cgroup): LaunchPlan;
}

/** `rootFd`: the mounted root, in which the user is looked up. */
export async function translate(
  engine: ContainersContext,
  record: ContainerRecord,
  rootFd: number,
  layer: Snapshot,
  joins: Joins,
): Promise<Translation> {
  const { lower, upper, work } = layer.mount;
  const files = containerPaths(engine.config, joins.networkContainer?.id ?? record.id);
  const spec = await engine.oci.containerSpec({
    record,
    rootFd,
    namespaces: joins.namespaces,
    files: { hosts: files.hosts, hostname: files.hostname, resolvConf: files.resolvConf },
    hostname: effectiveHostname(record),
    links: startableLinks(engine, record),
    sharedMemory: sharedMemoryPath(engine.config, joins.ipcContainer?.record ?? record),
  });
  let plan: LaunchPlan | undefined;
  return {
    resources: resourcesFromOci(spec.linux?.resources),
    compile: (cgroup) =>
      (plan ??= compile(spec, {
        rootfs: {
          kind: "overlay",
          lower,
          ...(upper === undefined ? {} : { upper }),
          ...(work === undefined ? {} : { work }),
        },
        at: layer.mergedPath,
        ...(spec.linux?.rootfsPropagation === "shared" ? { atMountPoint: mountPointOf(layer.mergedPath) } : {}),
        cgroup,
        init: record.spec.init ?? engine.config.init,
        keyring: `_ses.${record.id}`,
        kcore: hasKcore,
        console: { rows: record.spec.consoleSize[0], columns: record.spec.consoleSize[1] },
      })),
  };
}

async function inStage<T>(stage: LaunchStage, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw LaunchFailure.of(stage, error);
  }
}

export async function compileExecProcess(
  engine: ContainersContext,
  container: Container,
  running: RunningProcess,
  exec: ExecSpec,
  size: readonly [number, number] | undefined,
): Promise<LaunchPlan> {
  const { process, seccomp } = await inStage("user", () =>
    engine.oci.execProcess({
      record: container.record,
      exec,
      pid: running.supervisor.pid,
      links: runningLinks(engine, container.record),
    }),
  );
  const plan = await inStage("compile", () =>
    compileExec(process, {
      ...(seccomp === undefined ? {} : { seccomp }),
      ...(size === undefined ? {} : { console: { rows: size[0], columns: size[1] } }),
    }),
  );
  // The supervisor is in no cgroup of the container, and does not know them.
  return { ...plan, stem: { newNamespaces: [], cgroupProcs: running.cgroup.procsFiles } };
}
