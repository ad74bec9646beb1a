/** The engine itself as servers use it. */
import type { SystemBackend } from "../backend.ts";
import type { EngineContext } from "../context.ts";
import { diskUsage, type DiskUsers } from "./disk-usage.ts";
import { info, version } from "./system.ts";

export function createSystemBackend(
  engine: EngineContext,
  users: DiskUsers,
  authenticate: SystemBackend["authenticate"],
  engineId: string,
): SystemBackend {
  return {
    version: () => version(engine),
    info: () => info(engine, engineId),
    diskUsage: (types) => diskUsage(engine, users, types),
    events: (request, signal) => engine.events.subscribe(request, signal),
    authenticate,
  };
}
