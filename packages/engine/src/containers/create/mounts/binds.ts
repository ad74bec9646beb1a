/** `-v` and `--volumes-from`: mounts as strings. */
import { EngineError, messageOf } from "@fathom/base";
import type { WantedMount } from "@fathom/containers";
import { anonymousVolume, bindPropagation, checkDestination, clean, empty, propagations } from "./mount-parts.ts";

const consistencies = ["consistent", "cached", "delegated", "default"];

export function parseVolumesFrom(text: string): { container: string; mode: string } {
  const colon = text.indexOf(":");
  const container = colon < 0 ? text : text.slice(0, colon);
  const mode = colon < 0 ? "rw" : text.slice(colon + 1);
  if (container === "")
    throw new EngineError("invalid-argument", "volumes-from specification cannot be an empty string");
  if (!validMode(mode) || mode.split(",").some((word) => word === "nocopy" || propagations.includes(word)))
    throw new EngineError("invalid-argument", `invalid mode: ${mode}`);
  return { container, mode };
}

/** SOURCE:DESTINATION[:MODE] */
export function parseBind(raw: string, volumeDriver: string, dataRoot: string): WantedMount {
  const invalid = (reason = ""): EngineError =>
    new EngineError("invalid-argument", `invalid volume specification: '${raw}'${reason === "" ? "" : `: ${reason}`}`);
  const parts = raw.split(":");
  if (parts[0] === "" || parts.length > 3) throw invalid();
  const [first = "", second, third = ""] = parts;
  let source = "";
  let target = first;
  if (second !== undefined) {
    if (parts.length === 2 && validMode(second) && second !== "") throw invalid();
    source = first;
    target = second;
  }
  if (!validMode(third)) throw new EngineError("invalid-argument", `invalid mode: ${third}`);
  const words = third.split(",");
  const type = source.startsWith("/") ? "bind" : "volume";
  const propagation = words.find((word) => propagations.includes(word));
  if (type === "volume" && propagation !== undefined)
    throw invalid('invalid mount config for type "volume": field BindOptions must not be specified');
  try {
    checkDestination(target);
  } catch (error) {
    throw invalid(`invalid mount config for type "${type}": ${messageOf(error)}`);
  }
  const readWrite = !words.includes("ro");
  if (type === "bind")
    return {
      ...empty,
      source: clean(source),
      destination: clean(target),
      mode: third,
      readWrite,
      propagation: bindPropagation(propagation, clean(source), dataRoot),
      createSource: true,
    };
  if (source === "") return { ...anonymousVolume(clean(target), volumeDriver), mode: third };
  return {
    ...empty,
    type: "volume",
    name: source,
    destination: clean(target),
    driver: volumeDriver || "local",
    mode: third === "" ? "z" : third,
    readWrite,
    copyData: !words.includes("nocopy"),
    volume: { name: source, driver: volumeDriver || "local", options: {}, labels: {} },
  };
}

/** At most one word of each kind: access, labelling, copying, propagation, consistency. */
function validMode(mode: string): boolean {
  if (mode === "") return true;
  const kinds = new Set<string>();
  for (const word of mode.split(",")) {
    const kind =
      word === "rw" || word === "ro"
        ? "access"
        : word === "z" || word === "Z"
          ? "label"
          : word === "nocopy"
            ? "copy"
            : propagations.includes(word)
              ? "propagation"
              : consistencies.includes(word)
                ? "consistency"
                : undefined;
    if (kind === undefined || kinds.has(kind)) return false;
    kinds.add(kind);
  }
  return true;
}
