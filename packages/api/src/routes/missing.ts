/** Endpoints that Docker has and Fathom does not have yet: each answers with an error that says so. */
import { EngineError } from "@fathom/base";
import type { ApiRequest, Handler } from "../request/request.ts";
import type { Router } from "../request/router.ts";

/** "METHOD pattern" to the name of the action. */
const missing: Readonly<Record<string, string>> = {
  "GET /containers/*/attach/ws": "attaching over a websocket",
  "GET /containers/*/checkpoints": "listing checkpoints",
  "POST /containers/*/checkpoints": "checkpoints",
  "DELETE /containers/*/checkpoints/*": "checkpoints",
  "GET /images/search": "searching a registry",
  "GET /distribution/*/json": "looking at an image in its registry",
  "POST /session": "build sessions",
  "POST /grpc": "build sessions",
  "GET /plugins/privileges": "plugins",
  "POST /plugins/create": "plugins",
  "POST /plugins/pull": "plugins",
  "POST /swarm/init": "swarm mode",
  "POST /swarm/join": "swarm mode",
};

/** No plugin is installed, so none has the name. */
const ofOnePlugin = [
  "GET /plugins/*/json",
  "DELETE /plugins/*",
  "POST /plugins/*/enable",
  "POST /plugins/*/disable",
  "POST /plugins/*/push",
  "POST /plugins/*/upgrade",
  "POST /plugins/*/set",
];

/** Docker's answers on a machine that is in no swarm; Fathom's machines are in none. */
const swarmOnly = [
  "GET /swarm",
  "GET /swarm/unlockkey",
  "POST /swarm/leave",
  "POST /swarm/update",
  "POST /swarm/unlock",
  "GET /services",
  "GET /services/*",
  "GET /services/*/logs",
  "POST /services/create",
  "POST /services/*/update",
  "DELETE /services/*",
  "GET /nodes",
  "GET /nodes/*",
  "DELETE /nodes/*",
  "POST /nodes/*/update",
  "GET /tasks",
  "GET /tasks/*",
  "GET /tasks/*/logs",
  "GET /secrets",
  "GET /secrets/*",
  "POST /secrets/create",
  "POST /secrets/*/update",
  "DELETE /secrets/*",
  "GET /configs",
  "GET /configs/*",
  "POST /configs/create",
  "POST /configs/*/update",
  // Only cluster volumes can be updated.
  "PUT /volumes/*",
  "DELETE /configs/*",
];

function notImplemented(what: string): EngineError {
  return new EngineError("not-implemented", `${what}: not implemented yet by Fathom`);
}

function split(route: string): [string, string] {
  const space = route.indexOf(" ");
  return [route.slice(0, space), route.slice(space + 1)];
}

export function addMissingRoutes(router: Router<Handler>): void {
  for (const [route, what] of Object.entries(missing))
    router.add(...split(route), () => {
      throw notImplemented(what);
    });
  for (const route of swarmOnly)
    router.add(...split(route), () => {
      throw new EngineError(
        "unavailable",
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
      );
    });
  for (const route of ofOnePlugin)
    router.add(...split(route), ({ name }: ApiRequest) => {
      throw new EngineError("not-found", `plugin ${JSON.stringify(name)} not found`);
    });
  router.add("GET", "/plugins", ({ query, response }: ApiRequest) => {
    for (const key of Object.keys(query.filters()))
      if (!["enabled", "capability"].includes(key))
        throw new EngineError("invalid-argument", `invalid filter '${key}'`);
    response.json(200, []);
  });
  // Nobody can make a build cache yet, so there is nothing to remove: that is a valid answer, and `system prune` needs it.
}
