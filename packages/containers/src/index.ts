export * from "./contract.ts";
export {
  type ContainerLink,
  type ContainerRecord,
  type ContainerState,
  type ContainerStatus,
  type MountPoint,
  type NetworkAttachment,
} from "./record.ts";
export { Refused } from "./lifecycle/machine.ts";
export { NotReady, type Obstacle, type Use } from "./lifecycle/not-ready.ts";
export { ContainerProblem, type JoinedNamespace, type JoinObstacle, type Problem } from "./problem.ts";
export type { ContainerSpec, NamespaceMode } from "./container-spec.ts";
export { Container } from "./container.ts";
export {
  type ContainersContext,
  type ContainersOwner,
  type ContainersParts,
  locked,
  mustRun,
  publish,
} from "./context.ts";
export type {
  DatagramPlace,
  LogDestination,
  Receiver,
  StreamPlace,
  SyslogFormat,
  TlsIdentity,
} from "./logs/shipping/destination.ts";
export { describeLayers } from "./rows/description-file.ts";
export { ContainerDescriptions } from "./rows/descriptions.ts";
export { RecordForm } from "./rows/record-form.ts";
export { type ExecStartOptions, createExec, mustTakeExecs, resizeExec, startExec } from "./exec/exec.ts";
export { type ExecSpec, plainExec } from "./exec/exec-spec.ts";
export type { Exec } from "./exec/exec-table.ts";
export { type FileStat, archiveGet, archiveStat, exportContainer } from "./files/archive.ts";
export { putArchive } from "./files/put-archive.ts";
export { holdLayers } from "./files/layer-hold.ts";
export { tarTree } from "./files/tar-tree.ts";
export type { Health, HealthCheck, HealthResult } from "./health/health-check.ts";
export { connectRunning, disconnectRunning } from "./lifecycle/verbs/connect.ts";
export { makeContainer } from "./lifecycle/verbs/create.ts";
export { freezeForCommit, pauseContainer, unpauseContainer } from "./lifecycle/verbs/pause.ts";
export { type RemoveOptions, removeByName, removeContainer } from "./lifecycle/verbs/remove.ts";
export type { RestartPolicy } from "./lifecycle/ends/restart-policy.ts";
export { StepFailure, inStep } from "./lifecycle/step-failure.ts";
export { startContainer } from "./lifecycle/verbs/start.ts";
export { type StopOptions, killContainer, restartContainer, stopContainer } from "./lifecycle/verbs/stop.ts";
export { type WaitCondition, type WaitResult, waitContainer } from "./lifecycle/verbs/wait.ts";
export { type Containers, openContainers } from "./open.ts";
export { containerPaths } from "./paths.ts";
export { containerProcesses } from "./processes/process-listing.ts";
export { renameInNetworks } from "./resolvers.ts";
export { SIGKILL, SIGTERM, parseSignal } from "./signals.ts";
export type { HostProcessors, InterfaceCounters, Look, ResourceSample } from "./statistics/sample.ts";
export { twoSamples } from "./statistics/sampler.ts";
export { resolveImageMounts } from "./steps/image-mounts.ts";
export { requireSources } from "./steps/mount-sources.ts";
export { joinedNamespaces } from "./steps/joined-namespaces.ts";
export { findNetwork } from "./steps/networks.ts";
export { linkedContainers, linkName, linkNames } from "./links.ts";
export { translate } from "./steps/plan.ts";
export { type WantedMount, previewMounts } from "./steps/new-mounts.ts";
export type { StreamAttachment, StreamSelection } from "./streams/attachment.ts";
export {
  type AttachRequest,
  type AttachResult,
  type LogsRequest,
  attachContainer,
  containerLogs,
} from "./streams/attach.ts";
export { ContainerTable } from "./rows/table.ts";
