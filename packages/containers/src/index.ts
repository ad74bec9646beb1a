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
