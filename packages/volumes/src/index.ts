export * from "./contract.ts";
export { createLocalDriver, type LocalDriverOptions } from "./local/local-driver.ts";
export { createVolumes, type VolumesOptions } from "./volumes.ts";
export { fillVolumes, type FirstUse } from "./first-use/fill-volumes.ts";
