/** Shared with tests of other packages: what a backend must do, and fakes that do it. */
export { FakeImages } from "./fake-images.ts";
export { FakeVolumes, refuseFilters } from "./fake-volumes.ts";
export { containerSuite } from "./suites/container-suite.ts";
export type { ContainerWorld } from "./suites/container-world.ts";
export { execSuite } from "./suites/exec-suite.ts";
export { imageSuite } from "./suites/image-suite.ts";
export { networkBackendSuite, networkRequest } from "./suites/network-suite.ts";
export { systemSuite } from "./suites/system-suite.ts";
export { volumeSuite } from "./suites/volume-suite.ts";
