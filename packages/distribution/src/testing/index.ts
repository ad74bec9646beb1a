export { ScriptedRegistry } from "./scripted-registry.ts";
