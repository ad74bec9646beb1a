export * from "./contract.ts";
export {
  containerStatuses,
  type ContainerRecord,
  type ContainerState,
  type ContainerStatus,
  type MountPoint,
  type NetworkAttachment,
} from "./record.ts";
export { Refused } from "./lifecycle/machine.ts";
export type { ContainerSpec, NamespaceMode } from "./container-spec.ts";
export { Container } from "./container.ts";
export { type ContainersContext, locked, mustRun, publish } from "./context.ts";
export { ContainerDescriptions, describeLayers } from "./description.ts";
export {
  type ExecStartOptions,
  type StreamAttachment,
  createExec,
  inspectExec,
  resizeExec,
  startExec,
} from "./exec/exec.ts";
export { archiveGet, archiveStat, exportContainer } from "./files/archive.ts";
export { holdLayers } from "./files/layer-hold.ts";
export { tarTree } from "./files/tar-tree.ts";
export type { HealthCheck } from "./health/health-check.ts";
export { makeContainer } from "./lifecycle/create.ts";
export { freezeForCommit, pauseContainer, unpauseContainer } from "./lifecycle/pause.ts";
export { type RemoveOptions, removeByName, removeContainer } from "./lifecycle/remove.ts";
export type { RestartPolicy } from "./lifecycle/restart-policy.ts";
export { startContainer } from "./lifecycle/start.ts";
export { type StopOptions, killContainer, restartContainer, stopContainer } from "./lifecycle/stop.ts";
export { type WaitCondition, waitContainer } from "./lifecycle/wait.ts";
export { type Containers, openContainers } from "./open.ts";
export { containerPaths } from "./paths.ts";
export { containerProcesses } from "./processes/process-listing.ts";
export { SIGKILL, SIGTERM, parseSignal } from "./signals.ts";
export { resolveImageMounts } from "./steps/image-mounts.ts";
export { checkBindSources } from "./steps/mount-sources.ts";
export { parseNetworkMode } from "./steps/network-mode.ts";
export { joinedNamespaces, translate } from "./steps/plan.ts";
export { stepsLabel } from "./steps/start-report.ts";
export { type WantedMount, previewMounts } from "./steps/wanted-mounts.ts";
export {
  type AttachRequest,
  type AttachResult,
  type LogsRequest,
  attachContainer,
  containerLogs,
} from "./streams/attach.ts";
export { parseDetachKeys } from "./streams/detach-keys.ts";
export { ContainerTable } from "./table.ts";
