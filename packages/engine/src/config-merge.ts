/**
 * What an image says of how it is run, and what the user said: merged as dockerd does at create. The user's word counts; variables,
 * labels, ports and volumes of both come together.
 */
import { EngineError } from "@fathom/base";
import type { ContainerConfig, ImageConfig } from "@fathom/spec";

type ImageRunConfig = NonNullable<ImageConfig["config"]>;

/** @throws invalid-argument "no command specified" and others, in Docker's words */
export function mergeImageConfig(user: ContainerConfig, image: ImageRunConfig): ContainerConfig {
  // CMD of the image belongs to its ENTRYPOINT: with another one it is not used.
  const userEntrypoint = user.Entrypoint ?? null;
  const cmd =
    (userEntrypoint?.length ?? 0) === 0 && (user.Cmd?.length ?? 0) === 0 ? (image.Cmd ?? null) : (user.Cmd ?? null);
  let entrypoint = userEntrypoint ?? image.Entrypoint ?? null;
  // `--entrypoint ""` takes the image's away.
  if (entrypoint?.length === 1 && entrypoint[0] === "") entrypoint = null;
  if ((entrypoint?.length ?? 0) === 0 && (cmd?.length ?? 0) === 0)
    throw new EngineError("invalid-argument", "no command specified");
  const healthcheck = mergeHealthcheck(user.Healthcheck, image.Healthcheck);
  const stopSignal = user.StopSignal || image.StopSignal;
  return {
    ...user,
    User: user.User || image.User || "",
    Env: mergeEnvironment(user.Env ?? [], image.Env ?? []),
    Labels: { ...image.Labels, ...user.Labels },
    Entrypoint: entrypoint === null ? null : [...entrypoint],
    Cmd: cmd === null ? null : [...cmd],
    WorkingDir: user.WorkingDir || image.WorkingDir || "",
    ...(hasKeys(image.ExposedPorts) || hasKeys(user.ExposedPorts)
      ? { ExposedPorts: { ...image.ExposedPorts, ...user.ExposedPorts } }
      : {}),
    Volumes: hasKeys(image.Volumes) || hasKeys(user.Volumes) ? { ...image.Volumes, ...user.Volumes } : null,
    ...(healthcheck === undefined ? {} : { Healthcheck: healthcheck }),
    ...(stopSignal ? { StopSignal: stopSignal } : {}),
  } as ContainerConfig;
}

function hasKeys(object: object | null | undefined): boolean {
  return object !== null && object !== undefined && Object.keys(object).length > 0;
}

function mergeHealthcheck(
  user: ContainerConfig["Healthcheck"],
  image: ImageRunConfig["Healthcheck"],
): ContainerConfig["Healthcheck"] {
  if (user === undefined || user === null) return image as ContainerConfig["Healthcheck"];
  if (image === undefined) return user;
  return {
    ...image,
    ...Object.fromEntries(Object.entries(user).filter(([, value]) => isSet(value))),
  } as ContainerConfig["Healthcheck"];
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== 0 && !(Array.isArray(value) && value.length === 0);
}

/** The user's as they are, then the image's that are not among them. */
function mergeEnvironment(user: readonly string[], image: readonly string[]): string[] {
  const names = new Set(user.map(variableName));
  if (names.has(""))
    throw new EngineError(
      "invalid-argument",
      `invalid environment variable: ${user.find((entry) => variableName(entry) === "")}`,
    );
  return [...user, ...image.filter((entry) => !names.has(variableName(entry)))];
}

function variableName(entry: string): string {
  const equals = entry.indexOf("=");
  return equals < 0 ? entry : entry.slice(0, equals);
}

/** Program and arguments: the entrypoint with the command behind it. */
export function commandLine(config: ContainerConfig): { path: string; arguments: string[] } {
  const words = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  return { path: words[0] ?? "", arguments: words.slice(1) };
}
