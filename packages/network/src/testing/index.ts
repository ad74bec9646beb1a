/** For tests of other packages. */
export { createFakeNetworks, FakeHost } from "./fake-networks.ts";
export { networkSuite, type NetworkPlace } from "./network-suite.ts";
export { defaultOptions, memoryState } from "./settings.ts";
