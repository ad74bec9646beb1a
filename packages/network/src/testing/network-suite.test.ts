import { Faults } from "@fathom/base/testing";
import { networkConfig } from "../default-networks.ts";
import { createNetworkManager } from "../manager.ts";
import { FakeKernel } from "./fake-kernel.ts";
import { createFakeNetworks, FakeHost } from "./fake-networks.ts";
import { networkSuite } from "./network-suite.ts";
import { memoryState, optionsInMemory } from "./settings.ts";

const faults = new Faults();

networkSuite(
  "the fake",
  async () => {
    const host = new FakeHost();
    let next = 10;
    return {
      open: () => createFakeNetworks(host, faults),
      namespace: () => next++,
      [Symbol.asyncDispose]: async () => undefined,
    };
  },
  faults,
);

networkSuite("the manager over a kernel in memory", async () => {
  const kernel = new FakeKernel();
  const config = networkConfig(optionsInMemory);
  const state = memoryState();
  let next = 10;
  return {
    open: () => createNetworkManager({ sys: kernel.sys, config, state }),
    namespace: () => next++,
    [Symbol.asyncDispose]: async () => undefined,
  };
});
