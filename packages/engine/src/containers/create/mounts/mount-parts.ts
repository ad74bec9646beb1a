/** Common to all kinds of mounts: paths, and values that a request does not give. */
import { EngineError, randomId } from "@fathom/base";
import type { WantedMount } from "@fathom/containers";
import { anonymousLabel } from "@fathom/volumes";

export const propagations = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];

/**
 * The propagation of a bind. A bind of the engine's own directory, of a part of it, or of what holds it is a slave: otherwise it would keep
 * mounts that the engine removes.
 * @param asked undefined when the user chose none.
 * @throws invalid-argument in Docker's words
 */
export function bindPropagation(asked: string | undefined, source: string, dataRoot: string): string {
  const own = clean(dataRoot);
  if (!isWithin(source, own) && !isWithin(own, source)) return asked ?? "rprivate";
  if (asked === undefined || asked === "rslave" || asked === "rshared") return asked ?? "rslave";
  throw new EngineError(
    "invalid-argument",
    `invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the daemon root, daemon root: ${JSON.stringify(dataRoot)}, bind mount source: ${JSON.stringify(source)}, propagation: ${JSON.stringify(asked)}`,
  );
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}

/** `volume prune` uses this label. */
export const anonymousLabels = { [anonymousLabel]: "" };

export const empty: WantedMount = {
  type: "bind",
  name: undefined,
  source: "",
  destination: "",
  driver: undefined,
  mode: "",
  readWrite: true,
  propagation: "",
  copyData: false,
  subpath: "",
  createSource: false,
  nonRecursive: false,
  readOnlyNonRecursive: false,
  readOnlyForceRecursive: false,
  tmpfsOptions: [],
  anonymous: false,
  volume: undefined,
};

export function anonymousVolume(destination: string, driver: string): WantedMount {
  return {
    ...empty,
    type: "volume",
    destination,
    driver: driver || "local",
    copyData: true,
    anonymous: true,
    // This part chooses the name, not the part of volumes: the row must have the name before the volume exists.
    volume: { name: randomId(), driver: driver || "local", options: {}, labels: { ...anonymousLabels } },
  };
}

export function checkDestination(path: string): void {
  if (!path.startsWith("/"))
    throw new EngineError("invalid-argument", `invalid mount path: '${path}' mount path must be absolute`);
  if (clean(path) === "/") throw new EngineError("invalid-argument", "invalid specification: destination can't be '/'");
}

/** Removes doubled slashes, "." and ".." from the text. */
export function clean(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
