/** The verbs connect and disconnect of a running container. Of one that does not run, only the row changes. */
import { messageOf } from "@fathom/base";
import type { NetworkInfo, Sandbox } from "@fathom/network";
import type { Container } from "../../container.ts";
import { mustRun, type ContainersContext } from "../../context.ts";
import { openNetworkNamespace } from "../../network-namespace.ts";
import type { ContainerRecord, NetworkAttachment } from "../../record.ts";
import { changeResolvConf } from "../../resolvers.ts";
import { followInLinks } from "../../links.ts";
import { changeHostsLines } from "../../steps/network-files.ts";
import { endpointSettingsOf, publishNetworkChange, withEndpoints } from "../../steps/networks.ts";
import { NotReady } from "../not-ready.ts";

/**
 * Connects a running container to one more network; the container's key must be locked. After a failure it is not connected.
 * @throws NotReady when it has ended; as `Sandbox.connect`
 */
export async function connectRunning(
  engine: ContainersContext,
  container: Container,
  network: NetworkInfo,
  wanted: NetworkAttachment,
): Promise<void> {
  await inNamespace(engine, container, async (sandbox) => {
    const { record } = container;
    const endpoint = await sandbox.connect(network.id, endpointSettingsOf(record, network, wanted));
    try {
      const attachment = { ...wanted, network: network.name, networkId: network.id };
      const networks = withEndpoints([...record.networks, attachment], sandbox);
      engine.containers.update(container, { networks });
      changeHosts(engine, container, record);
      changeResolvConf(engine, record, container.record);
    } catch (error) {
      await undo(engine, container.id, () => {
        if (container.record !== record) engine.containers.update(container, { networks: record.networks });
      });
      await undo(engine, container.id, () => endpoint && sandbox.disconnect(endpoint.endpointId));
      throw error;
    }
    publishNetworkChange(engine, container.id, "connect", network);
  });
}

/**
 * The opposite. The row changes first: if the daemon is killed meanwhile, the next start removes an interface that no row has.
 * @throws NotReady when it has ended; what could not be removed, although the container is disconnected
 */
export async function disconnectRunning(
  engine: ContainersContext,
  container: Container,
  network: NetworkInfo,
): Promise<void> {
  await inNamespace(engine, container, async (sandbox) => {
    const { record } = container;
    const gone = record.networks.filter(({ networkId }) => networkId === network.id);
    const rest = record.networks.filter((attachment) => !gone.includes(attachment));
    engine.containers.update(container, { networks: rest });
    try {
      for (const { endpoint } of gone) if (endpoint !== undefined) await sandbox.disconnect(endpoint.endpointId);
    } finally {
      engine.containers.update(container, { networks: withEndpoints(rest, sandbox) });
      publishNetworkChange(engine, container.id, "disconnect", network);
      changeHosts(engine, container, record);
    }
  });
}

/** The first error is the one to report. */
async function undo(engine: ContainersContext, id: string, action: () => unknown): Promise<void> {
  try {
    await action();
  } catch (error) {
    engine.logger.warn("undoing a connection to a network failed", { error: messageOf(error), id });
  }
}

function changeHosts(engine: ContainersContext, { record }: Container, before: ContainerRecord): void {
  changeHostsLines(engine, record, { before: before.networks, after: record.networks });
  followInLinks(engine, record, record.networks);
}

/** Runs `task` with the network of a running container. */
async function inNamespace(
  engine: ContainersContext,
  container: Container,
  task: (sandbox: Sandbox) => Promise<void>,
): Promise<void> {
  const { id, record } = container;
  const namespaceFd = openNetworkNamespace(engine.sys, mustRun(container).supervisor);
  if (namespaceFd === undefined) throw new NotReady(container, "process", "not-running");
  try {
    const { ports } = record.spec;
    await task(engine.networks.sandbox({ containerId: id, containerName: record.name, namespaceFd, ports }));
  } finally {
    engine.sys.close(namespaceFd);
  }
}
