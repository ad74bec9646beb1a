/** What the tests of others share: what a backend keeps, and fakes that keep it. */
export { FakeImages } from "./fake-images.ts";
export { FakeVolumes, refuseFilters } from "./fake-volumes.ts";
export { containerSuite, type ContainerWorld } from "./suites/container-suite.ts";
export { imageSuite, type ImageWorld } from "./suites/image-suite.ts";
export { systemSuite } from "./suites/system-suite.ts";
export { volumeSuite, type VolumeWorld } from "./suites/volume-suite.ts";
