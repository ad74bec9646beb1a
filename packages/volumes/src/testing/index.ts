export { MemoryVolumes } from "./memory-driver.ts";
