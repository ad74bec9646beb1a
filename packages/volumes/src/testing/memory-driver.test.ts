import { Faults } from "@fathom/base/testing";
import { MemoryVolumes } from "./memory-driver.ts";
import { volumeDriverSuite } from "./volume-driver-suite.ts";

volumeDriverSuite("the driver in memory", async () => {
  const memory = new MemoryVolumes();
  const faults = new Faults();
  return {
    faults,
    calls: { mount: "driver.mount", unmount: "driver.unmount", free: "removed.free" },
    options: { mounted: { type: "tmpfs", device: "tmpfs" }, impossible: { bogus: "1" } },
    open: () => memory.driver(faults),
    write: (name, bytes) => void (memory.volumes.get(name)!.bytes += bytes),
    bytes: (name) => memory.volumes.get(name)?.bytes ?? 0,
    isMounted: (name) => memory.volumes.get(name)?.mounted === true,
    unfreed: () => memory.unfreed,
    [Symbol.asyncDispose]: async () => undefined,
  };
});
