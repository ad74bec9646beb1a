/** Events of networks themselves; those of connections are published with the connections. */
import type { NetworkInfo } from "@fathom/network";
import type { EngineContext } from "../context.ts";

export function publishNetwork(
  engine: Pick<EngineContext, "events">,
  action: "create" | "destroy",
  { id, name, driver }: NetworkInfo,
): void {
  engine.events.publish("network", action, id, { name, type: driver });
}
