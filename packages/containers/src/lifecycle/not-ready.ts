/** The error for a use of a container that its present state does not allow. The use would not change the state. */
import { EngineError } from "@fathom/base";

export type Obstacle = "paused" | "restarting" | "not-running";

export type Use =
  | "exec"
  | "attach"
  /** Any other use of its first process. */
  | "process";

export class NotReady extends EngineError {
  readonly use: Use;
  readonly obstacle: Obstacle;
  readonly containerId: string;
  readonly containerName: string;

  constructor(
    container: { readonly id: string; readonly record: { readonly name: string } },
    use: Use,
    obstacle: Obstacle,
  ) {
    super("conflict", `container ${container.id} is ${obstacle.replace("-", " ")}`);
    this.name = "NotReady";
    this.use = use;
    this.obstacle = obstacle;
    this.containerId = container.id;
    this.containerName = container.record.name;
  }
}
