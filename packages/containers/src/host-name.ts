import { hostname } from "node:os";
import type { ContainerRecord } from "./record.ts";

/** The host name of a container: its own, or the host's when it is in the host's network or UTS namespace. */
export function effectiveHostname({ spec }: Pick<ContainerRecord, "spec">): string {
  return spec.hostname !== "" ? spec.hostname : hostname();
}
