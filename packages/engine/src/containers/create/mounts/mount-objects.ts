/** `--mount`: mounts as objects of HostConfig.Mounts. */
import { EngineError, messageOf, randomId } from "@fathom/base";
import type { WantedMount } from "@fathom/containers";
import type { Mount } from "@fathom/spec";
import { anonymousLabels, bindPropagation, checkDestination, clean, empty, propagations } from "./mount-parts.ts";

/** One entry of HostConfig.Mounts. */
export function parseMount(mount: Mount, dataRoot: string): WantedMount {
  const type = mount.Type ?? "";
  const invalid = (reason: string): EngineError =>
    new EngineError("invalid-argument", `invalid mount config for type "${type}": ${reason}`);
  const source = mount.Source ?? "";
  const target = mount.Target ?? "";
  for (const [field, own] of optionFields)
    if (type !== own && mount[field] !== undefined && mount[field] !== null)
      throw invalid(`field ${field} must not be specified`);
  if (target === "") throw invalid("field Target must not be empty");
  try {
    checkDestination(target);
  } catch (error) {
    throw invalid(messageOf(error));
  }
  const common = { ...empty, destination: clean(target), readWrite: mount.ReadOnly !== true };
  switch (type) {
    case "bind": {
      if (source === "") throw invalid("field Source must not be empty");
      const options = mount.BindOptions ?? {};
      if (options.Propagation && !propagations.includes(options.Propagation))
        throw invalid(`invalid propagation mode: ${options.Propagation}`);
      if (!source.startsWith("/")) throw invalid(`invalid mount path: '${source}' mount path must be absolute`);
      return {
        ...common,
        source: clean(source),
        propagation: bindPropagation(options.Propagation || undefined, clean(source), dataRoot),
        createSource: options.CreateMountpoint === true,
        nonRecursive: options.NonRecursive === true,
        readOnlyNonRecursive: options.ReadOnlyNonRecursive === true,
        readOnlyForceRecursive: options.ReadOnlyForceRecursive === true,
      };
    }
    case "volume": {
      const options = mount.VolumeOptions ?? {};
      const subpath = options.Subpath ?? "";
      if (source === "" && subpath !== "") throw invalid("must not set Subpath when using anonymous volumes");
      if (!isLocal(subpath)) throw invalid("subpath must be a relative path within the volume");
      const driver = options.DriverConfig?.Name || "local";
      return {
        ...common,
        type: "volume",
        name: source === "" ? undefined : source,
        driver,
        mode: "z",
        copyData: options.NoCopy !== true,
        subpath,
        anonymous: source === "",
        volume: {
          name: source === "" ? randomId() : source,
          driver,
          options: { ...options.DriverConfig?.Options },
          labels: { ...options.Labels, ...(source === "" ? anonymousLabels : {}) },
        },
      };
    }
    case "tmpfs": {
      if (source !== "") throw invalid("field Source must not be specified");
      const { SizeBytes: size = 0, Mode: mode = 0 } = mount.TmpfsOptions ?? {};
      if (size < 0) throw invalid(`TmpfsOptions.SizeBytes is ${size}, it must not be negative`);
      if (mode > 0o7777) throw invalid(`TmpfsOptions.Mode is 0${mode.toString(8)}, but a mode is at most 07777`);
      for (const words of mount.TmpfsOptions?.Options ?? []) {
        if (words.length < 1 || words.length > 2) throw invalid("invalid option array length");
        if (words[0] !== "exec" && words[0] !== "noexec") throw invalid(`invalid option: ${words[0]}`);
      }
      return { ...common, type: "tmpfs", tmpfsOptions: tmpfsOptions(mount) };
    }
    case "image": {
      if (source === "") throw invalid("field Source must not be empty");
      const subpath = mount.ImageOptions?.Subpath ?? "";
      if (!isLocal(subpath)) throw invalid("subpath must be a relative path within the volume");
      return {
        ...common,
        type: "image",
        readWrite: false,
        propagation: "rprivate",
        subpath,
        image: { reference: source, id: "", layer: "" },
      };
    }
    default:
      throw invalid("mount type unknown");
  }
}

/** Options, and the one mount type that each belongs to. */
const optionFields = [
  ["BindOptions", "bind"],
  ["VolumeOptions", "volume"],
  ["ImageOptions", "image"],
  ["TmpfsOptions", "tmpfs"],
] as const;

/** A relative path that does not leave its beginning; only its text is checked. */
function isLocal(path: string): boolean {
  if (path.startsWith("/")) return false;
  let depth = 0;
  for (const part of path.split("/")) {
    if (part === "..") depth--;
    else if (part !== "" && part !== ".") depth++;
    if (depth < 0) return false;
  }
  return true;
}

function tmpfsOptions(mount: Mount): string[] {
  const { SizeBytes = 0, Mode = 0, Options } = mount.TmpfsOptions ?? {};
  const options = [mount.ReadOnly === true ? "ro" : "rw"];
  if (Mode !== 0) options.push(`mode=${Mode.toString(8)}`);
  if (SizeBytes !== 0) options.push(`size=${SizeBytes}`);
  for (const words of Options ?? []) options.push(words.join("="));
  return options;
}
