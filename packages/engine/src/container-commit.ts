/** docker commit. */
import { EngineError } from "@fathom/base";
import type { CommitRequest } from "@fathom/spec";
import type { EngineContext } from "./context.ts";

export async function commitContainer(engine: EngineContext, request: CommitRequest): Promise<{ Id: string }> {
  const container = engine.containers.find(request.container);
  throw new EngineError("not-implemented", `commit of container ${container.id} is not implemented yet`);
}
