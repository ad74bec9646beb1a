import type { Sys } from "./contract.ts";
import { createCallContext } from "./calls/context.ts";
import { fileCalls } from "./calls/files.ts";
import { loadNative } from "./native.ts";
import { deviceCalls, networkCalls, watchCalls } from "./calls/networks.ts";
import { mountCalls, processCalls } from "./calls/processes.ts";
import { socketCalls } from "./calls/sockets.ts";

/** The real syscalls. One object for each thread: a Worker must make its own. */
export function createSys(): Sys {
  const context = createCallContext(loadNative());
  return Object.freeze({
    ...fileCalls(context),
    ...socketCalls(context),
    ...mountCalls(context),
    ...processCalls(context),
    ...networkCalls(context),
    ...watchCalls(context),
    ...deviceCalls(context),
  });
}
