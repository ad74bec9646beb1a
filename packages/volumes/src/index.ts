export { fillVolumes, type FirstUse } from "./first-use/fill-volumes.ts";
