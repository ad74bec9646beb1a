/** A daemon over a machine in memory (@fathom/containers/testing). */
import { join } from "node:path";
import { silentLogger, systemClock } from "@fathom/base";
import { fakeImage, type FakeMachine } from "@fathom/containers/testing";
import type { OciSpec, Volume } from "@fathom/spec";
import type { ContainerUses, EngineConfig, OciTranslation } from "../contract.ts";
import { createEngine, type Engine, type ImageHalf, type VolumeHalf } from "../engine.ts";

export { FakeMachine, FakeProcess, removeTree, writeLogLine } from "@fathom/containers/testing";

const oci: OciTranslation = {
  defaults: { maskedPaths: [], readonlyPaths: [], privateCgroups: true },
  validate: () => [],
  containerSpec: async ({ record }) =>
    ({
      ociVersion: "1.2.0",
      root: { path: "rootfs" },
      process: { user: { uid: 0, gid: 0 }, args: [record.path, ...record.arguments], env: ["PATH=/bin"], cwd: "/" },
      linux: {
        namespaces: [
          { type: "mount" },
          { type: "pid" },
          { type: "network" },
          { type: "ipc" },
          { type: "uts" },
          { type: "cgroup" },
        ],
      },
    }) as OciSpec,
  execProcess: async ({ command }) => ({
    process: { user: { uid: 0, gid: 0 }, args: [...command], env: ["PATH=/bin"], cwd: "/" },
    seccomp: undefined,
  }),
  resources: () => ({}),
};

export function testConfig(root: string): EngineConfig {
  return {
    dataRoot: root,
    execRoot: join(root, "run"),
    cgroupParent: "/fathom",
    logDriver: "json-file",
    logOptions: {},
    defaultUlimits: [],
    defaultShmSizeBytes: 64 * 2 ** 20,
    dns: [],
    dnsSearch: [],
    dnsOptions: [],
    hostGatewayIps: [],
    liveRestore: false,
    shutdownTimeoutSeconds: 1,
    maxConcurrentDownloads: 3,
    maxConcurrentUploads: 3,
    noNewPrivileges: false,
    init: false,
    seccompProfile: "",
    labels: [],
    experimental: false,
    debug: false,
    insecureRegistries: [],
    registryMirrors: [],
    stemPoolSize: 0,
    version: "0.0.0",
    gitCommit: "",
    buildTime: "",
  };
}

/** What a test has to do with the volume half. */
export interface VolumeQuestions {
  /** What the volume half may ask of containers; set by the daemon's start. */
  uses?: ContainerUses;
  /** What the volume half lists. */
  volumeList?: readonly Volume[];
}

export type TestEngine = Engine<ImageHalf, VolumeHalf>;

/** A daemon's start over the machine. Starting another one is what follows a `kill -9` of the first. */
export async function startDaemon(
  machine: FakeMachine,
  root: string,
  config: Partial<EngineConfig> = {},
  asked: VolumeQuestions = {},
): Promise<TestEngine> {
  const engine = await createEngine<ImageHalf, VolumeHalf>({
    config: { ...testConfig(root), ...config },
    store: machine.store(root),
    launcher: machine.launcher(),
    cgroups: machine.cgroupsApi(),
    networks: machine.networks(),
    sys: machine.sys(),
    files: machine.files(),
    logger: silentLogger,
    clock: systemClock,
    images: () => ({
      ...machine.images(),
      imageList: async () => [],
      commit: async () => ({ id: fakeImage.id, name: undefined }),
      [Symbol.asyncDispose]: async () => undefined,
    }),
    volumes: ({ uses }) => {
      asked.uses = uses;
      return {
        lookup: machine.volumesApi(root),
        volumeList: async () => ({ Volumes: asked.volumeList ?? [], Warnings: null }),
        volumeUsage: async () => 0,
      };
    },
    oci,
  });
  await engine.resume();
  return engine;
}
