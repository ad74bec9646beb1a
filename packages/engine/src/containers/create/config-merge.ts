/**
 * Merges the run settings of an image with the user's, as dockerd does at create. The user's settings have priority; for variables, labels,
 * ports and volumes, both are combined.
 */
import { EngineError, sortedKeys } from "@fathom/base";
import type { ContainerConfig, HealthConfig, ImageConfig } from "@fathom/spec";

type ImageRunConfig = NonNullable<ImageConfig["config"]>;
/** The members of both kinds of configuration. */
type RunConfigBody = Partial<ContainerConfig> | ImageRunConfig;

/** @throws invalid-argument "no command specified" and others, in Docker's words */
export function mergeImageConfig(user: ContainerConfig, image: ImageRunConfig): ContainerConfig {
  const merged = mergeRunConfig(user, image);
  const blank = merged.Env.find((entry) => variableName(entry) === "");
  if (blank !== undefined) throw new EngineError("invalid-argument", `invalid environment variable: ${blank}`);
  // `--entrypoint ""` removes the image's entrypoint.
  const entrypoint = merged.Entrypoint?.length === 1 && merged.Entrypoint[0] === "" ? null : merged.Entrypoint;
  if ((entrypoint?.length ?? 0) === 0 && (merged.Cmd?.length ?? 0) === 0)
    throw new EngineError("invalid-argument", "no command specified");
  return { ...user, ...merged, Entrypoint: entrypoint };
}

/** Fields that `over` leaves empty get the values of `under`. */
export function mergeRunConfig(over: RunConfigBody, under: RunConfigBody) {
  // A command belongs to its entrypoint: with another entrypoint it is not used.
  const ownProgram = (over.Entrypoint?.length ?? 0) > 0 || (over.Cmd?.length ?? 0) > 0;
  const cmd = (ownProgram ? over.Cmd : under.Cmd) ?? null;
  const entrypoint = over.Entrypoint ?? under.Entrypoint ?? null;
  const healthcheck = mergeHealthcheck(over.Healthcheck, under.Healthcheck);
  const stopSignal = over.StopSignal || under.StopSignal;
  return {
    User: over.User || under.User || "",
    Env: mergeEnvironment(over.Env ?? [], under.Env ?? []),
    Labels: sortedKeys({ ...under.Labels, ...over.Labels }),
    Entrypoint: entrypoint === null ? null : [...entrypoint],
    Cmd: cmd === null ? null : [...cmd],
    WorkingDir: over.WorkingDir || under.WorkingDir || "",
    ...(hasKeys(under.ExposedPorts) || hasKeys(over.ExposedPorts)
      ? { ExposedPorts: sortedKeys({ ...under.ExposedPorts, ...over.ExposedPorts }) }
      : {}),
    Volumes: hasKeys(under.Volumes) || hasKeys(over.Volumes) ? sortedKeys({ ...under.Volumes, ...over.Volumes }) : null,
    ...(healthcheck ? { Healthcheck: healthcheck } : {}),
    ...(stopSignal ? { StopSignal: stopSignal } : {}),
  };
}

function hasKeys(object: object | null | undefined): boolean {
  return object !== null && object !== undefined && Object.keys(object).length > 0;
}

function mergeHealthcheck(over: HealthConfig | null | undefined, under: HealthConfig | null | undefined) {
  if (!over || !under) return over ?? under;
  // A field that neither sets is left out; the order is Go's.
  return {
    ...chosen("Test", over, under),
    ...chosen("Interval", over, under),
    ...chosen("Timeout", over, under),
    ...chosen("StartPeriod", over, under),
    ...chosen("StartInterval", over, under),
    ...chosen("Retries", over, under),
  };
}

function chosen(name: keyof HealthConfig, over: HealthConfig, under: HealthConfig): HealthConfig {
  if (isSet(over[name])) return { [name]: over[name] };
  return isSet(under[name]) ? { [name]: under[name] } : {};
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== 0 && !(Array.isArray(value) && value.length === 0);
}

/** The user's entries unchanged, then the image's entries with other names. */
function mergeEnvironment(user: readonly string[], image: readonly string[]): string[] {
  const names = new Set(user.map(variableName));
  return [...user, ...image.filter((entry) => !names.has(variableName(entry)))];
}

function variableName(entry: string): string {
  const equals = entry.indexOf("=");
  return equals < 0 ? entry : entry.slice(0, equals);
}

/** Program and arguments: the entrypoint and then the command. */
export function commandLine(config: ContainerConfig): { path: string; arguments: string[] } {
  const words = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  return { path: words[0] ?? "", arguments: words.slice(1) };
}
