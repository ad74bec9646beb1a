/** `--link` in the default network: what a request means, and what inspect shows. Links in other networks are aliases in the resolver. */
import { EngineError, messageOf } from "@fathom/base";
import {
  linkedContainers,
  linkName,
  type Container,
  type ContainerLink,
  type ContainerRecord,
} from "@fathom/containers";
import type { HostConfig } from "@fathom/spec";
import { dockerOf } from "../containers/docker-extension.ts";
import type { EngineContext } from "../context.ts";
import { inWords } from "../words/refusal-words.ts";
import { defaultNetworkName, parseNetworkMode } from "./network-mode.ts";

/** "db", "db:alias", and the form that inspect shows: "/db:/web/alias". @throws invalid-argument in Docker's words */
export function parseLink(link: string): { readonly name: string; readonly alias: string } {
  if (link === "") throw new EngineError("invalid-argument", "empty string specified for links");
  const [name = "", alias = name, ...more] = link.split(":");
  if (more.length > 0) throw new EngineError("invalid-argument", `bad format for links: ${link}`);
  return name.startsWith("/")
    ? { name: name.slice(1), alias: alias.slice(alias.lastIndexOf("/") + 1) }
    : { name, alias };
}

/**
 * The links of a new container. Outside of the default network there are none.
 * @throws invalid-argument in Docker's words; not "not-found", because a client would think that the image is missing, and pull it
 */
export function requestedLinks(
  engine: Pick<EngineContext, "containers">,
  { NetworkMode, Links }: Pick<HostConfig, "NetworkMode" | "Links">,
): readonly ContainerLink[] | undefined {
  const mode = parseNetworkMode(NetworkMode);
  const asked = (Links ?? []).map(parseLink);
  if (asked.length === 0 || (mode.kind === "network" && mode.name !== defaultNetworkName)) return undefined;
  const links: ContainerLink[] = [];
  for (const { name, alias } of asked) {
    const target = targetOf(engine, name);
    // As in Docker, the first link with an alias counts.
    if (!links.some((link) => link.alias === alias)) links.push({ container: target.id, alias });
  }
  return links;
}

/** With the network of another container, that one is meant. */
function targetOf(engine: Pick<EngineContext, "containers">, name: string): Container {
  const seen = new Set<string>();
  for (let wanted = name; ;) {
    const target = find(engine, wanted);
    const mode = parseNetworkMode(dockerOf(target.record).hostConfig.NetworkMode);
    if (mode.kind === "host")
      throw new EngineError(
        "invalid-argument",
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
      );
    if (mode.kind !== "container" || seen.has(target.id)) return target;
    seen.add(target.id);
    wanted = mode.container;
  }
}

function find(engine: Pick<EngineContext, "containers">, name: string): Container {
  try {
    return engine.containers.find(name);
  } catch (error) {
    throw new EngineError("invalid-argument", `could not get container for ${name}: ${messageOf(inWords(error))}`, {
      cause: error,
    });
  }
}

/** HostConfig.Links as inspect shows it: "/db:/web/alias". */
export function shownLinks(
  engine: Pick<EngineContext, "containers">,
  record: ContainerRecord,
): readonly string[] | null {
  const links = linkedContainers(engine, record);
  return links.length === 0
    ? null
    : links.map(({ alias, target }) => `/${target.record.name}:${linkName(record, alias)}`);
}
