/**
 * A container from a ContainerSpec, without any type or word of Docker, as CRI or a build step would call it. The owner's extension comes back
 * unchanged, and the OCI configuration comes from the owner. Log, exit code, restart and removal are the work of the package containers.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomId, silentLogger, systemClock, zeroTime } from "@fathom/base";
import {
  ContainerProblem,
  type ContainerSpec,
  createExec,
  makeContainer,
  plainExec,
  startExec,
  removeContainer,
  startContainer,
  stopContainer,
  waitContainer,
  openContainers,
  type Containers,
  type ContainerRecord,
} from "@fathom/containers";
import { FakeMachine } from "@fathom/containers/testing";
import { openCgroups } from "@fathom/runtime";
import { parseDiffId, type ChainId, type OciSpec } from "@fathom/spec";
import { openStore, type Store } from "@fathom/store";
import { createHostFiles, helperExecutable } from "@fathom/sys";
import { launcher, Rig, sys } from "../launcher/rig.ts";
import { runName } from "../run-name.ts";

const parent = `/fathom-neutral-${runName}`;
const root = mkdtempSync(join(tmpdir(), "fathom-neutral-"));
const cgroups = openCgroups(sys);
const files = createHostFiles({ sys, executable: () => helperExecutable(sys) });
const published: string[] = [];
let store: Store;
let topLayer: ChainId;
let opened: Containers<unknown, unknown>;

interface Pod {
  readonly command: readonly string[];
  readonly pod: string;
}

const spec: ContainerSpec = {
  terminal: false,
  consoleSize: [0, 0],
  stdin: "none",
  hostname: "neutral",
  domainname: "",
  network: { kind: "none" },
  pid: { kind: "own" },
  ipc: { kind: "own" },
  sharedMemoryBytes: 1 << 20,
  ports: [],
  dns: { servers: [], search: [], options: [] },
  extraHosts: [],
  devicePaths: [],
  init: false,
  stop: { signal: 15, timeoutSeconds: 1 },
  restart: { kind: "no", maximumRetryCount: 0 },
  health: undefined,
  removeOnExit: false,
};

beforeAll(async () => {
  using rig = new Rig();
  store = await openStore({
    root,
    sys,
    logger: silentLogger,
    syncFilesystem: (path) => files.sync(path),
    removeTree: (path) => files.remove(path),
  });
  const lease = store.leases.create("test");
  const draft = store.layers.draft();
  cpSync(rig.rootfs, draft.diffPath, { recursive: true, verbatimSymlinks: true });
  topLayer = draft.commit(undefined, parseDiffId(`sha256:${"1".repeat(64)}`), 1, lease).chainId;
  const machine = new FakeMachine();
  opened = await openContainers({
    config: {
      dataRoot: root,
      dns: [],
      dnsSearch: [],
      dnsOptions: [],
      hostGatewayIps: [],
      shutdownTimeoutSeconds: 5,
      init: false,
      cgroupParent: parent,
      stemPoolSize: 0,
    },
    store,
    launcher,
    cgroups,
    networks: machine.networks(),
    sys,
    files,
    logger: silentLogger,
    clock: systemClock,
    images: () => machine.images(),
    volumes: () => ({ lookup: machine.volumesApi() }),
    oci: {
      containerSpec: async ({ record }) => configurationOf(record),
      containerUser: async () => ({ uid: 0, gid: 0 }),
      execProcess: async ({ exec }) => ({
        process: {
          user: { uid: 0, gid: 0 },
          args: [...exec.command],
          env: ["PATH=/bin", ...exec.environment],
          cwd: "/",
          terminal: exec.terminal,
        },
        seccomp: undefined,
      }),
    },
    logs: {
      target: ({ id }) => ({ kind: "json-file", path: join(root, `${id}.log`), maxSize: 0, maxFiles: 1 }),
      readable: ({ id }) => join(root, `${id}.log`),
    },
    words: {
      startWords: ({ stage }) => `failed at ${stage}`,
      execWords: ({ stage }) => stage,
      exitCodeAfterStart: () => 1,
      exitCodeOfExec: () => 1,
    },
    events: { publish: (_type, action, _id, attributes) => void published.push(`${action} ${attributes["pod"]}`) },
    wantsStartReport: () => false,
    eventAttributes: ({ extension }) => ({ pod: (extension as Pod).pod }),
    records: {
      upgrade: () => {
        throw new Error("there is no earlier version");
      },
    },
  });
});

afterAll(async () => {
  await opened.close(false);
  await store[Symbol.asyncDispose]();
  await cgroups.open(parent).remove();
  rmSync(root, { recursive: true });
});

function configurationOf({ extension, cgroupPath }: ContainerRecord): OciSpec {
  return {
    ociVersion: "1.2.0",
    root: { path: "rootfs" },
    process: { user: { uid: 0, gid: 0 }, args: [...(extension as Pod).command], env: ["PATH=/bin"], cwd: "/" },
    linux: {
      cgroupsPath: cgroupPath,
      namespaces: (["mount", "pid", "network", "ipc", "uts"] as const).map((type) => ({ type })),
    },
  } as OciSpec;
}

async function make(name: string, command: readonly string[], change: Partial<ContainerSpec> = {}): Promise<string> {
  const id = randomId();
  const { context } = opened;
  context.containers.reserve(name, id);
  const extension: Pod = { command, pod: name };
  await makeContainer(
    context,
    {
      id,
      name,
      createdAt: zeroTime,
      imageId: "",
      topLayer,
      path: "",
      arguments: [],
      spec: { ...spec, ...change },
      extension,
      mounts: [],
      networks: [],
      cgroupPath: `${parent}/${id}`,
      state: {
        status: "created",
        pid: 0,
        exitCode: 0,
        error: "",
        oomKilled: false,
        startedAt: zeroTime,
        finishedAt: zeroTime,
      },
      restartCount: 0,
      restartDelayMs: 0,
      stoppedByUser: false,
      health: undefined,
      pending: undefined,
    },
    [],
  );
  return id;
}

const start = (id: string): Promise<void> => {
  const { context } = opened;
  const container = context.containers.find(id);
  return context.mutex.run(id, () => startContainer(context, container));
};

test("a container runs, logs and ends with its code, and its owner's extension is unchanged", async () => {
  const { context } = opened;
  const id = await make("one", ["sh", "-c", "echo from $(cat /etc/neutral || echo nowhere); exit 7"]);
  const { result } = waitContainer(context, id, "next-exit", new AbortController().signal);
  await start(id);
  expect(await result).toEqual({ exitCode: 7 });
  const container = context.containers.find("one");
  expect(container.state).toBe("exited");
  expect(container.record.extension).toEqual({
    command: ["sh", "-c", "echo from $(cat /etc/neutral || echo nowhere); exit 7"],
    pod: "one",
  });
  expect(readFileSync(join(root, `${id}.log`), "utf8")).toContain('"log":"from nowhere\\n"');
  await context.mutex.run(id, () => removeContainer(context, container, { volumes: true }));
  expect(published.filter((event) => event.endsWith(" one"))).toEqual([
    "create one",
    "start one",
    "die one",
    "destroy one",
  ]);
  expect(store.snapshots.list()).toEqual([]);
});

test("a stop ends it, a policy starts it again, and a container with auto-remove is removed at its end", async () => {
  const { context } = opened;
  const sleeping = await make("sleeping", ["sleep", "1000"]);
  await start(sleeping);
  await stopContainer(context, context.containers.find(sleeping), { signal: undefined, timeoutSeconds: 0 });
  expect(context.containers.find(sleeping).state).toBe("exited");
  const again = await make("again", ["sh", "-c", "exit 3"], { restart: { kind: "on-failure", maximumRetryCount: 1 } });
  const container = context.containers.find(again);
  await start(again);
  for (const end = Date.now() + 20_000; Date.now() < end && container.record.restartCount < 1;)
    await new Promise((resolve) => setImmediate(resolve));
  await waitContainer(context, again, "not-running", new AbortController().signal).result;
  expect([container.record.restartCount, container.state]).toEqual([1, "exited"]);
  const leaving = await make("leaving", ["true"], { removeOnExit: true });
  const { result } = waitContainer(context, leaving, "removed", new AbortController().signal);
  await start(leaving);
  expect(await result).toEqual({ exitCode: 0 });
  expect(() => context.containers.find(leaving)).toThrow(
    new ContainerProblem({ kind: "no-such-container", name: leaving }),
  );
});

test("additional processes run in the container: each has the values that its spec asks for, and gives its output and its exit code", async () => {
  const { context } = opened;
  const id = await make("host", ["sleep", "1000"]);
  await start(id);
  const container = context.containers.find(id);
  const spec = {
    ...plainExec(["sh", "-c", "read line; echo $line $WORD; exit 5"]),
    stdin: true,
    environment: ["WORD=said"],
  };
  const exec = await createExec(context, container, spec);
  const stream = await startExec(
    context,
    exec,
    { detach: false, consoleSize: undefined },
    new AbortController().signal,
  );
  const socket = createConnection({ fd: stream!.fd } as unknown as { path: string });
  socket.end("it is\n");
  const output: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) output.push(chunk);
  // One frame of stdout: its kind, three zeros, its length.
  const text = "it is said\n";
  expect(Buffer.concat(output)).toEqual(Buffer.from([1, 0, 0, 0, 0, 0, 0, text.length, ...Buffer.from(text)]));
  expect(await exec.handle?.exit).toMatchObject({ code: 5 });
  expect(exec).toMatchObject({ state: "ended", exitCode: 5 });
  await stopContainer(context, container, { signal: undefined, timeoutSeconds: 0 });
  await expect(createExec(context, container, spec)).rejects.toMatchObject({ code: "conflict" });
});

test("a failed start names its step, and nothing of it stays", async () => {
  const id = await make("broken", ["nosuchprogram"]);
  await expect(start(id)).rejects.toMatchObject({ stage: "launch", code: "executable-not-found" });
  expect(opened.context.containers.find(id).record.state).toMatchObject({
    status: "created",
    error: "failed at launch",
  });
  expect(cgroups.list(parent)).toEqual([]);
});
