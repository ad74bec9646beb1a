/**
 * The engine does what its interface promises: containers with the machine in memory, images and volumes with a store on the disk. The fakes of
 * both also do.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { TarWriter } from "@fathom/archive";
import { silentLogger, systemClock } from "@fathom/base";
import { ScriptedRegistry, defaultRegistryConfig } from "@fathom/distribution/testing";
import { createImages } from "@fathom/images";
import { hostPlatform, mediaTypes, sha256Digest } from "@fathom/spec";
import { openStore, type Store } from "@fathom/store";
import { createHostFiles, createSys, helperExecutable } from "@fathom/sys";

import type { EngineParts } from "./contract.ts";
import { createImagePart, imageParts } from "./images/image-backend.ts";
import { createVolumePart } from "./volumes/volume-backend.ts";
import { FakeImages } from "./testing/fake-images.ts";
import { FakeVolumes } from "./testing/fake-volumes.ts";
import { FakeMachine, startDaemon, testConfig } from "./testing/fakes.ts";
import { containerSuite } from "./testing/suites/container-suite.ts";
import type { ContainerWorld } from "./testing/suites/container-world.ts";
import { execSuite } from "./testing/suites/exec-suite.ts";
import { imageSuite } from "./testing/suites/image-suite.ts";
import { networkBackendSuite } from "./testing/suites/network-suite.ts";
import { systemSuite } from "./testing/suites/system-suite.ts";
import { volumeSuite } from "./testing/suites/volume-suite.ts";

const sys = createSys();

async function openEngine(): Promise<ContainerWorld> {
  const root = mkdtempSync(join(tmpdir(), "fathom-backend-"));
  const machine = new FakeMachine();
  const backend = await startDaemon(machine, root);
  return {
    backend,
    image: "busybox",
    async end(name, code) {
      const { Id } = await backend.containers.inspect(name, false);
      for (const [directory, process] of machine.processes) if (directory.includes(Id)) process.end(code);
    },
    close: ({ fd }) => machine.sys().close(fd),
    async [Symbol.asyncDispose]() {
      await backend.shutdown();
      rmSync(root, { recursive: true });
    },
  };
}

/** The parts of an engine with a store of its own. */
async function openParts(uses: Partial<EngineParts["uses"]>): Promise<EngineParts & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync(join(tmpdir(), "fathom-backend-"));
  stack.defer(() => rmSync(root, { recursive: true }));
  const store: Store = await openStore({ root, sys, logger: silentLogger, syncFilesystem: async () => undefined });
  stack.use(store);
  const resources = stack.move();
  return {
    config: testConfig(root),
    store,
    sys,
    files: createHostFiles({ sys, executable: () => helperExecutable(sys) }),
    events: { publish: () => undefined },
    uses: { ofImage: () => [], ofVolume: () => [], volumesInUse: () => new Map(), ...uses },
    logger: silentLogger,
    clock: systemClock,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

containerSuite("the engine", openEngine);
execSuite("the engine", openEngine);
systemSuite("the engine", openEngine);
networkBackendSuite("the engine", async () => {
  const world = await openEngine();
  return { backend: world.backend.networks, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
});

imageSuite("the engine", async () => {
  await using stack = new AsyncDisposableStack();
  const parts = stack.use(await openParts({}));
  const registry = stack.use(await ScriptedRegistry.start());
  addImage(registry);
  const registryConfig = { ...defaultRegistryConfig, proxy: {}, certificateDirectories: [], attempts: 1 };
  const images = stack.use(createImages(imageParts(parts, registryConfig)));
  const resources = stack.move();
  return {
    backend: createImagePart(parts, images).backend,
    pullable: `${registry.host}/app:1`,
    missing: `${registry.host}/app:nosuch`,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
});

/** A manifest of one layer under `app:1`. */
function addImage(registry: ScriptedRegistry): void {
  const chunks: Uint8Array[] = [];
  const writer = new TarWriter((chunk) => chunks.push(chunk));
  writer.file({ path: "file", mode: 0o644 }, Buffer.from("pulled"));
  writer.finish();
  const layer = Buffer.concat(chunks);
  const { os, architecture } = hostPlatform();
  const config = { os, architecture, rootfs: { type: "layers", diff_ids: [sha256Digest(layer)] } };
  registry.addManifest("app:1", mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: registry.addBlob(Buffer.from(JSON.stringify(config)), mediaTypes.ociConfig),
    layers: [registry.addBlob(gzipSync(layer), mediaTypes.ociLayer)],
  });
}

imageSuite("the fake of images", async () => ({
  backend: new FakeImages(),
  pullable: "app:1",
  missing: "nosuch:1",
  [Symbol.asyncDispose]: async () => undefined,
}));

volumeSuite("the engine", async () => {
  const used = new Set<string>();
  const parts = await openParts({
    ofVolume: (name) => (used.has(name) ? ["c1"] : []),
    volumesInUse: () => new Map([...used].map((name) => [name, 1])),
  });
  return {
    backend: createVolumePart(parts).backend,
    use: (name) => void used.add(name),
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  };
});

volumeSuite("the fake of volumes", async () => {
  const backend = new FakeVolumes();
  return { backend, use: (name) => void backend.inUse.add(name), [Symbol.asyncDispose]: async () => undefined };
});
