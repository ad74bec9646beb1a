import { expect, test } from "bun:test";
import { useEngine } from "../testing/engine-world.ts";
import { startDaemon } from "../testing/fakes.ts";
import { maskedProxy } from "./system.ts";

const world = useEngine();

test("a proxy's credentials are not shown", () => {
  expect(maskedProxy("http://ann:s@cret@proxy.test:3128")).toBe("http://xxxxx:xxxxx@proxy.test:3128");
  expect(maskedProxy("ann:secret@proxy.test:3128")).toBe("xxxxx:xxxxx@proxy.test:3128");
  expect(maskedProxy("http://proxy.test:3128")).toBe("http://proxy.test:3128");
  expect(maskedProxy(undefined)).toBe("");
});

test("mirrors end with a slash; descriptors and threads are counted in debug mode", async () => {
  const before = await world.engine.system.info();
  expect([before.NFd, before.NGoroutines]).toEqual([0, 0]);
  const registryMirrors = ["https://one.example", "https://two.example/path/"];
  world.engine = await startDaemon(world.machine, world.root, { debug: true, registryMirrors });
  const info = await world.engine.system.info();
  const shown = ["https://one.example/", "https://two.example/path/"];
  expect(info.RegistryConfig).toMatchObject({ Mirrors: shown, IndexConfigs: { "docker.io": { Mirrors: shown } } });
  expect(info.NFd).toBeGreaterThan(3);
  expect(info.NGoroutines).toBeGreaterThan(1);
});

test("the default runtime has Docker's name, and Fathom's own name means the same", async () => {
  const { DefaultRuntime, Runtimes } = await world.engine.system.info();
  expect(DefaultRuntime).toBe("runc");
  expect(Runtimes["fathom"]).toEqual(Runtimes["runc"]!);
  await world.run("one");
  expect((await world.engine.containers.inspect("one", false)).HostConfig.Runtime).toBe("runc");
});
