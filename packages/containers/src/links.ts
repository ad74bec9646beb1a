/**
 * Links of containers in the default network (`--link`): a container knows others by aliases, through its environment, its hosts file, and names
 * like "web/db". A link is kept by the id of its target; the link of a target that was removed means nothing.
 */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { moveInHosts, removeFromHosts, type Endpoint } from "@fathom/network";
import { messageOf } from "@fathom/base";
import type { Container } from "./container.ts";
import type { ContainersContext } from "./context.ts";
import type { LinkedContainer } from "./contract.ts";
import { effectiveHostname } from "./host-name.ts";
import { containerPaths } from "./paths.ts";
import { ContainerProblem } from "./problem.ts";
import type { ContainerRecord, NetworkAttachment } from "./record.ts";
import { findNetwork } from "./steps/networks.ts";

type Engine = Pick<ContainersContext, "config" | "containers" | "networks">;
type LinkOwner = Pick<ContainerRecord, "links" | "name">;

const largestHostsFile = 1024 * 1024;

/** The link's own name, as Docker shows it: "/web/db". */
export function linkName({ name }: Pick<ContainerRecord, "name">, alias: string): string {
  return `/${name}/${alias}`;
}

/** The containers to which a container is linked. */
export function linkedContainers(
  { containers }: Pick<Engine, "containers">,
  record: LinkOwner,
): readonly { readonly alias: string; readonly target: Container }[] {
  return (record.links ?? []).flatMap(({ container, alias }) => {
    const target = containers.byId(container);
    return target === undefined ? [] : [{ alias, target }];
  });
}

/** The names of all links, by the containers to which they lead. */
export function linkNames({ containers }: Pick<Engine, "containers">): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>();
  for (const { record } of containers.list())
    for (const { container, alias } of record.links ?? [])
      names.set(container, [...(names.get(container) ?? []), linkName(record, alias)]);
  return names;
}

/**
 * The links of a container that starts. They mean nothing outside of the default network.
 * @throws ContainerProblem when a target is in other networks, or does not run
 */
export function startableLinks(engine: Engine, record: ContainerRecord): readonly LinkedContainer[] {
  if (record.links === undefined || inDefaultNetwork(engine, record.networks) === undefined) return [];
  return linkedContainers(engine, record).map(({ alias, target }) => {
    const place = inDefaultNetwork(engine, target.record.networks);
    if (place === undefined) throw new ContainerProblem({ kind: "link-elsewhere", target: target.record.name });
    if (target.process === undefined)
      throw new ContainerProblem({
        kind: "link-not-running",
        target: target.record.name,
        link: linkName(record, alias),
      });
    return { alias, record: target.record, address: addressOf(place.endpoint) };
  });
}

/** The links of a running container whose targets run. */
export function runningLinks(engine: Engine, record: ContainerRecord): readonly LinkedContainer[] {
  if (record.links === undefined || inDefaultNetwork(engine, record.networks) === undefined) return [];
  return linkedContainers(engine, record).flatMap(({ alias, target }) =>
    target.process === undefined
      ? []
      : [
          {
            alias,
            record: target.record,
            address: addressOf(inDefaultNetwork(engine, target.record.networks)?.endpoint),
          },
        ],
  );
}

function addressOf(endpoint: Endpoint | undefined): string | undefined {
  return (endpoint?.addresses.find(({ family }) => family === "ipv4") ?? endpoint?.addresses[0])?.address;
}

function inDefaultNetwork(engine: Engine, networks: readonly NetworkAttachment[]): NetworkAttachment | undefined {
  const id = engine.networks.defaultNetwork()?.id;
  return networks.find((attachment) => id !== undefined && findNetwork(engine, attachment)?.id === id);
}

/** The lines of the links in /etc/hosts: the alias, the host name and the name of each target. */
export function linkHosts(
  engine: Engine,
  record: LinkOwner,
  networks: readonly NetworkAttachment[],
): readonly string[] {
  if (record.links === undefined || inDefaultNetwork(engine, networks) === undefined) return [];
  return linkedContainers(engine, record).flatMap(({ alias, target }) => {
    const addresses = inDefaultNetwork(engine, target.record.networks)?.endpoint?.addresses ?? [];
    return addresses.map(({ address }) => `${address}\t${namesInHosts(alias, target.record)}`);
  });
}

function namesInHosts(alias: string, target: ContainerRecord): string {
  const names = [alias, effectiveHostname(target)];
  return (alias === target.name ? names : [...names, target.name]).join(" ");
}

/** A container is about to run with these addresses: the hosts files of the running containers that are linked to it follow. Never throws. */
export function followInLinks(
  engine: Engine & Pick<ContainersContext, "logger">,
  { id }: Pick<ContainerRecord, "id">,
  networks: readonly NetworkAttachment[],
): void {
  for (const parent of engine.containers.list())
    for (const { container, alias } of parent.record.links ?? []) {
      if (container !== id || parent.process === undefined) continue;
      const { addresses = [] } = inDefaultNetwork(engine, networks)?.endpoint ?? {};
      const texts = addresses.map(({ address }) => address);
      changeHosts(engine, parent, (file) => moveInHosts(file, alias, texts));
    }
}

function changeHosts(
  engine: Engine & Pick<ContainersContext, "logger">,
  { id }: Container,
  change: (file: string) => string,
): void {
  const path = containerPaths(engine.config, id).hosts;
  try {
    // The container can write into it.
    if (statSync(path).size > largestHostsFile) throw new Error("it is too large");
    const before = readFileSync(path, "utf8");
    const after = change(before);
    // The file is bound into the container, so it must stay the same file.
    if (after !== before) writeFileSync(path, after);
  } catch (error) {
    engine.logger.warn("the hosts file of a linked container was not changed", { id, error: messageOf(error) });
  }
}

/** Removes a link by its name ("web/db"). The environment of a running container stays as it is. @throws ContainerProblem when it is not the name of a link */
export async function removeLink(
  engine: Engine & Pick<ContainersContext, "logger" | "mutex">,
  name: string,
): Promise<void> {
  const target = engine.containers.find(name);
  const link = engine.containers.findLink(name);
  if (link === undefined) throw new ContainerProblem({ kind: "default-link", name: target.record.name });
  const { parent, alias } = link;
  await engine.mutex.run(parent.id, async () => {
    if (engine.containers.byId(parent.id) !== parent) return;
    const links = (parent.record.links ?? []).filter((other) => other.alias !== alias);
    engine.containers.update(parent, { links: links.length === 0 ? undefined : links });
    if (parent.process !== undefined)
      changeHosts(engine, parent, (file) => removeFromHosts(file, namesInHosts(alias, target.record)));
  });
}
