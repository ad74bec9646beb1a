export { ScriptedRegistry } from "./scripted-registry.ts";
export { defaultRegistryConfig } from "./registry-config.ts";
