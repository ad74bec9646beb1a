/** All endpoints: those of each area use the backend of that area. */
import type { Backend } from "@fathom/engine";
import type { StreamSys } from "../hijack/hijack.ts";
import type { Handler } from "../request/request.ts";
import type { Router } from "../request/router.ts";
import { addBuildRoutes } from "./builds.ts";
import { addContainerStreamRoutes } from "./container-streams.ts";
import { addContainerRoutes } from "./containers.ts";
import { addExecRoutes } from "./execs.ts";
import { addImageRoutes } from "./images.ts";
import { addMissingRoutes } from "./missing.ts";
import { addNetworkRoutes } from "./networks.ts";
import { addSystemRoutes } from "./system.ts";
import { addVolumeRoutes } from "./volumes.ts";

export function addRoutes(router: Router<Handler>, backend: Backend, sys?: StreamSys): void {
  addSystemRoutes(router, backend.system);
  addContainerRoutes(router, backend.containers);
  addContainerStreamRoutes(router, backend.containers, sys);
  addExecRoutes(router, backend.execs, sys);
  addImageRoutes(router, backend.images);
  addBuildRoutes(router, backend.builds);
  addVolumeRoutes(router, backend.volumes);
  addNetworkRoutes(router, backend.networks);
  addMissingRoutes(router);
}
