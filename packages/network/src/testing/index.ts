/** For tests of other packages. */
export { decode, query, questionName, questionType, reply } from "./dns-messages.ts";
export { createFakeNames, type FakeNames } from "./fake-names.ts";
export { createFakeNetworks, FakeHost } from "./fake-networks.ts";
export { namesSuite, type NamesPlace, type ServerAnswer } from "./names-suite.ts";
export { networkSuite, type NetworkPlace } from "./network-suite.ts";
export { defaultOptions, memoryState } from "./settings.ts";
