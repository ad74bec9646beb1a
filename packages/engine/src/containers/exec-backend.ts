/** Execs as servers ask for them. */
import { createExec, inspectExec, resizeExec, startExec } from "@fathom/containers";
import type { ExecBackend } from "../backend.ts";
import type { EngineContext } from "../context.ts";

export function createExecBackend(engine: EngineContext): ExecBackend {
  return {
    create: async (container, body) => createExec(engine, container, body),
    inspect: async (id) => inspectExec(engine, id),
    start: (id, options, signal) => startExec(engine, id, options, signal),
    resize: (id, rows, columns) => resizeExec(engine, id, rows, columns),
  };
}
