/** A daemon with a machine in memory (@fathom/containers/testing). */
import { join } from "node:path";
import { EngineError } from "@fathom/base";
import { fakeImage, type FakeMachine } from "@fathom/containers/testing";
import type { LocalImage } from "@fathom/images";
import type { ContainerUses, EngineConfig, ImageSource } from "../contract.ts";
import { createEngine, type Engine } from "../engine.ts";
import { FakeBuilder } from "./fake-builder.ts";
import { FakeImages } from "./fake-images.ts";
import { fakeTranslation } from "./fake-translation.ts";
import { FakeVolumes } from "./fake-volumes.ts";

export { FakeMachine, removeTree, writeLogLine } from "@fathom/containers/testing";
export type { FakeProcess } from "@fathom/runtime/testing";

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

/** Functions with which a test controls the part of volumes. */
export interface VolumeQuestions {
  /** What that part may ask of containers; the daemon's start sets it. */
  uses?: ContainerUses;
  /** Volumes as clients see them; containers use the machine's volumes. */
  volumes?: FakeVolumes;
}

/** The machine's one image, with a configuration. */
function imageLookup(machine: FakeMachine): Pick<ImageSource, "lookup" | "byId"> {
  const image: LocalImage = {
    ...fakeImage,
    config: {
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: { Cmd: ["sh"], Env: ["PATH=/bin"] },
      rootfs: { type: "layers", diff_ids: [] },
    },
  };
  return machine.faults.wrap<Pick<ImageSource, "lookup" | "byId">>("images", {
    lookup: (name) => {
      if (name === "busybox") return image;
      throw new EngineError("not-found", `No such image: ${name}`);
    },
    byId: (id) => (id === image.id ? image : undefined),
  });
}

export type TestEngine = Engine;

/** Starts a daemon on the machine. Starting another one simulates a `kill -9` of the first. */
export async function startDaemon(
  machine: FakeMachine,
  root: string,
  config: Partial<EngineConfig> = {},
  asked: VolumeQuestions = {},
): Promise<TestEngine> {
  const engine = await createEngine({
    config: { ...testConfig(root), ...config },
    store: machine.store(root),
    launcher: machine.launcher(),
    cgroups: machine.cgroupsApi(),
    networks: machine.networks(),
    sys: machine.sys(),
    files: machine.files(),
    logger: machine.logger(),
    clock: machine.clock,
    images: () => ({
      ...imageLookup(machine),
      backend: new FakeImages(),
      authenticate: async () => ({ Status: "Login Succeeded" }),
      commit: async () => ({ id: fakeImage.id, name: undefined }),
      [Symbol.asyncDispose]: async () => undefined,
    }),
    volumes: ({ uses }) => {
      asked.uses = uses;
      return {
        lookup: machine.volumesApi(uses),
        backend: asked.volumes ?? new FakeVolumes(),
        usage: async () => 0,
      };
    },
    oci: machine.faults.wrap("oci", fakeTranslation),
    builder: async () => new FakeBuilder(),
  });
  await engine.resume();
  return engine;
}
