/** Connects the lifecycle: effects call verbs, verbs call the machine, and the machine runs effects. */
import type { ContainersContext } from "../context.ts";
import { createEffects } from "./effects.ts";
import { removeContainer, removeRemains } from "./verbs/remove.ts";
import { beginTimer, stopTimer } from "./ends/restart.ts";

export function connectLifecycle(engine: ContainersContext): void {
  engine.machine.use(
    createEffects(engine, {
      beginTimer: (container, restart) => beginTimer(engine, container, restart),
      stopTimer,
      remove: (container, options) => removeContainer(engine, container, options),
      removeRemains: (container) => removeRemains(engine, container),
    }),
  );
}
