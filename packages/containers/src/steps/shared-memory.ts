/**
 * /dev/shm of containers that share their IPC namespace. A mount of another mount namespace cannot be bound. So a container with `--ipc
 * shareable` gets its /dev/shm from a tmpfs in the daemon's namespace, and containers that join bind the same tmpfs.
 */
import { detachMount, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE } from "@fathom/sys";
import { mkdirSync } from "node:fs";
import type { ContainerRecord } from "../record.ts";
import type { ContainersContext } from "../context.ts";
import { containerPaths } from "../paths.ts";

/** For a container that shares it; others get theirs from the plan. */
export function mountSharedMemory(engine: ContainersContext, record: ContainerRecord): void {
  if (record.spec.ipc.kind !== "shareable") return;
  const path = containerPaths(engine.config, record.id).sharedMemory;
  mkdirSync(path, { recursive: true, mode: 0o700 });
  detachMount(engine.sys, path);
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  engine.sys.mount("shm", path, "tmpfs", flags, `mode=1777,size=${record.spec.sharedMemoryBytes}`);
  engine.sys.mount("", path, "", MS_PRIVATE, "");
}

/** Does nothing when nothing is mounted. Containers that have joined keep their bind. */
export function unmountSharedMemory(engine: ContainersContext, record: ContainerRecord): void {
  if (record.spec.ipc.kind === "shareable")
    detachMount(engine.sys, containerPaths(engine.config, record.id).sharedMemory);
}
