/** The server's tests rely on promises of a backend that the engine keeps: the fake runs the same tests. */
import { closeSync } from "node:fs";
import {
  containerSuite,
  execSuite,
  imageSuite,
  networkBackendSuite,
  systemSuite,
  volumeSuite,
  type ContainerWorld,
} from "@fathom/engine/testing";
import { FakeBackend } from "./fake-backend.ts";

const nothing = { [Symbol.asyncDispose]: async (): Promise<void> => undefined };

async function open(): Promise<ContainerWorld> {
  const fake = new FakeBackend();
  return {
    backend: fake.backend,
    image: "busybox",
    async end(name, code) {
      const { process } = fake.containers.find(name);
      process?.end(code);
      await process?.exit;
    },
    close: ({ fd }) => closeSync(fd),
    ...nothing,
  };
}

containerSuite("the fake backend", open);
execSuite("the fake backend", open);
systemSuite("the fake backend", open);
networkBackendSuite("the fake backend", async () => ({ backend: new FakeBackend().backend.networks, ...nothing }));
imageSuite("the fake backend", async () => ({
  backend: new FakeBackend().backend.images,
  pullable: "app:1",
  missing: "nosuch:1",
  ...nothing,
}));
volumeSuite("the fake backend", async () => {
  const { backend, volumes } = new FakeBackend();
  return { backend: backend.volumes, use: (name) => void volumes.inUse.add(name), ...nothing };
});
