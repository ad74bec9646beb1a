import { Faults } from "@fathom/base/testing";
import type { NetworkInfo } from "../contract.ts";
import { networkConfig } from "../default-networks.ts";
import { defaultAddressPools } from "../ipam/pool.ts";
import { createNetworkManager } from "../manager.ts";
import { FakeKernel } from "./fake-kernel.ts";
import { createFakeNetworks, FakeHost } from "./fake-networks.ts";
import { networkSuite } from "./network-suite.ts";

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
  const rows = new Map<string, NetworkInfo>();
  const config = networkConfig({
    bridgeName: "fathom0",
    addressPools: defaultAddressPools,
    mtu: 0,
    ipForward: true,
    ipMasquerade: true,
    interContainerCommunication: true,
    defaultBindAddress: "0.0.0.0",
    userlandProxy: false,
  });
  const state = {
    networks: () => [...rows.values()],
    saveNetwork: (network: NetworkInfo) => void rows.set(network.id, network),
    removeNetwork: (id: string) => void rows.delete(id),
  };
  let next = 10;
  return {
    open: () => createNetworkManager({ sys: kernel.sys, config, state }),
    namespace: () => next++,
    [Symbol.asyncDispose]: async () => undefined,
  };
});
