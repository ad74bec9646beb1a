/**
 * The steps of a start as a table: each row is one step, with its name, what it makes, and how it is undone. The functions are in `steps/`, one
 * file per subject.
 *
 * When a daemon dies during a start: before the launch, this process or the stem holds everything that was made, and the stem ends with its
 * control socket; the networks' start and the sweep over cgroups remove the rest. Between launch and row, `adopt.json` in the supervisor's
 * directory has the data of the row, and the next daemon takes over the process.
 */
import type { LaunchStage } from "@fathom/runtime";
import type { Container } from "../../container.ts";
import type { ContainersContext } from "../../context.ts";
import { clearRunDirectory, makeRunDirectory } from "../../run-directory.ts";
import { discard } from "../../stems.ts";
import { Handed } from "../../handed.ts";
import { holdNamespaces, joinedNamespaces } from "../../steps/joined-namespaces.ts";
import { followInLinks } from "../../links.ts";
import { mountImages, unmountImages } from "../../steps/image-mounts.ts";
import { describeRun, endLaunch, launchRequest, publishMounts, publishUnmounts } from "../../steps/launch.ts";
import { prepareSources } from "../../steps/mount-sources.ts";
import { writeHostsFile, writeStaticFiles } from "../../steps/network-files.ts";
import { attachNetworks, detachAll } from "../../steps/networks.ts";
import { translate } from "../../steps/plan.ts";
import { closeRoot, mountRoot } from "../../steps/root.ts";
import { mountSharedMemory, unmountSharedMemory } from "../../steps/shared-memory.ts";
import { StartReport } from "./start-report.ts";
import { acquireVolumes, mountedVolumes, releaseVolumes } from "../../steps/volumes.ts";
import { putClientsBack, sendClientsAway, takeClients } from "../../steps/waiting-clients.ts";
import { runningProcess, startedPatch, type RestartCounts } from "./start-row.ts";
import { StepList } from "../step-list.ts";

/** The arguments of a start. */
export interface Start {
  readonly engine: ContainersContext;
  readonly container: Container;
  readonly counts: RestartCounts;
  /** Detach keys, for clients that choose none. */
  readonly detachKeys: Uint8Array | undefined;
}

export const startSteps = StepList.of<LaunchStage, Start>()
  .add({
    stage: "files",
    makes: "report",
    // It is not made when nobody wants to read it.
    run: ({ engine, container }) =>
      engine.wantsStartReport(container.record) ? new StartReport(engine.clock) : undefined,
  })
  .add({
    stage: "join",
    makes: "joins",
    run: ({ engine, container }) => {
      const joins = joinedNamespaces(engine, container.record);
      const held = holdNamespaces(engine.sys, joins);
      return { ...joins, namespaces: held.namespaces, held };
    },
    end: ({ joins }) => joins.held[Symbol.dispose](),
  })
  .add({
    stage: "root",
    makes: "root",
    run: ({ engine, container }) => mountRoot(engine, container.id),
    undo: ({ engine, root }) => {
      if (root !== undefined) closeRoot(engine, root);
    },
    words: ({ root }) =>
      `lay ${root.layer.lowerPaths.length} image layer(s) and one writable layer over each other, as a mount that only the container will see`,
  })
  .add({
    stage: "files",
    makes: "log",
    run: ({ engine, container: { record }, joins }) => {
      const log = engine.logs.target(record);
      makeRunDirectory(engine.config, record.id, log);
      if (joins.networkContainer === undefined) writeStaticFiles(engine, record);
      return log;
    },
    undo: ({ engine, container }) => clearRunDirectory(engine, container.id),
  })
  .add({
    stage: "files",
    makes: "receiver",
    run: ({ engine, container }) => engine.logShipping.prepare(container.record),
    undo: ({ engine, container }) => engine.logShipping.forget(container.id),
  })
  .add({
    stage: "volumes",
    makes: "volumes",
    run: ({ engine, container: { record } }) => {
      const names = mountedVolumes(record);
      return names.length === 0 ? names : acquireVolumes(engine.volumes, record.id, names);
    },
    undo: ({ engine, container, volumes = [] }) => releaseVolumes(engine.volumes, container.id, volumes),
  })
  .add({
    stage: "images",
    makes: "images",
    run: ({ engine, container }) => mountImages(engine, container.record),
    undo: ({ engine, container }) => unmountImages(engine, container.record),
  })
  .add({
    stage: "mounts",
    makes: "sources",
    run: ({ engine, container }) => prepareSources(engine.files, container.record, engine.config.dataRoot),
  })
  .add({
    stage: "shared-memory",
    makes: "sharedMemory",
    run: ({ engine, container }) => mountSharedMemory(engine, container.record),
    undo: ({ engine, container }) => unmountSharedMemory(engine, container.record),
    words: () => "write the container's files (hostname, resolv.conf), prepare volumes and shared memory",
  })
  .add({
    stage: "user",
    makes: "translation",
    run: ({ engine, container, root, joins }) => translate(engine, container.record, root.fd.value, root.layer, joins),
    words: () => "find the user, turn the configuration into an OCI configuration",
  })
  .add({
    stage: "stem",
    makes: "stem",
    run: async ({ engine, container: { record }, translation }) =>
      new Handed(await engine.stems.claim(record.id, record.cgroupPath, (cgroup) => translation.compile(cgroup).stem)),
    undo: ({ stem }) => (stem === undefined || stem.taken ? undefined : discard(stem.take())),
  })
  .add({
    stage: "limits",
    makes: "limits",
    run: ({ stem, translation }) => stem.value.cgroup.apply(translation.resources),
    words: () => "take a process that waits in its own namespaces and cgroups, set its limits",
  })
  .add({
    stage: "network",
    makes: "networks",
    run: ({ engine, container, stem }) =>
      attachNetworks(engine, container, stem.value.prepared.networkNamespaceFd, stem.value.link),
    undo: ({ engine, container, networks }) =>
      networks === undefined ? undefined : detachAll(engine, container.id, networks),
  })
  .add({
    stage: "network",
    makes: "hosts",
    run: ({ engine, container, joins, networks }) => {
      if (joins.networkContainer === undefined) writeHostsFile(engine, container.record, networks);
      followInLinks(engine, container.record, networks);
    },
    words: () => "attach the network: interface, address, route, published ports, hosts file",
  })
  .add({
    stage: "compile",
    makes: "plan",
    run: ({ stem, translation }) => translation.compile(stem.value.cgroup),
    words: ({ plan }) => `compile the launch plan: ${plan.operations.length} operations`,
  })
  .add({
    stage: "files",
    makes: "described",
    run: ({ engine, container, counts, report, root, networks, stem }) => {
      report?.write(engine.sys, root.fd.value);
      describeRun(engine, container.id, networks, counts, stem.value);
    },
  })
  .add({
    stage: "launch",
    makes: "clients",
    run: ({ container }) => new Handed(takeClients(container)),
    undo: ({ container, clients }) => {
      if (clients !== undefined && !clients.taken) putClientsBack(container, clients.take());
    },
  })
  .add({
    stage: "launch",
    makes: "launched",
    run: ({ engine, container, root, stem, plan, log, clients }) => {
      const request = launchRequest(engine, container.record, plan, log, clients.value);
      // Nothing that can fail may come between these two, because the launch always closes the descriptor.
      return stem.value.prepared.launch({ ...request, rootFd: root.fd.take() });
    },
    undo: async ({ engine, stem, clients, launched }) => {
      if (launched === undefined) return;
      sendClientsAway(engine.sys, clients.take(), launched.attachments);
      await endLaunch(launched, stem.take().cgroup);
    },
  })
  .add({
    stage: "launch",
    makes: "mounted",
    run: ({ engine, container }) => publishMounts(engine, container.record),
    undo: ({ engine, container }) => publishUnmounts(engine, container.record),
  })
  .add({
    stage: "row",
    makes: "followed",
    run: ({ engine, container, counts, detachKeys, launched, stem, networks, clients }) => ({
      // The effects of a start take time; the start itself is finished when the row is written.
      promise: engine.machine.apply(container, "started", {
        patch: startedPatch(container.record, launched, networks, counts),
        process: runningProcess(launched, stem.value.cgroup, engine.clock, detachKeys),
        streams: { pending: clients.value, attachments: launched.attachments },
      }),
    }),
  });
