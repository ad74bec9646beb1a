/**
 * Which mounts a container gets: -v strings, --mount objects, --volumes-from and the image's VOLUMEs, brought to one form with dockerd's
 * rules and words. Nothing is made here; `ensureVolume` makes what is missing.
 */
import { EngineError, randomId } from "@fathom/base";
import type { ContainerConfig, HostConfig, Mount } from "@fathom/spec";
import type { MountPoint, WantedMount } from "@fathom/containers";
import { anonymousLabel } from "@fathom/volumes";

const propagations = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
const consistencies = ["consistent", "cached", "delegated", "default"];

/** `volume prune` goes by it. */
const anonymousLabels = { [anonymousLabel]: "" };

const empty: WantedMount = {
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

export interface DonorMounts {
  /** Mounts of another container. @throws not-found */
  (nameOrId: string): readonly MountPoint[];
}

/** @throws invalid-argument in Docker's words */
export function wantedMounts(config: ContainerConfig, hostConfig: HostConfig, donor: DonorMounts): WantedMount[] {
  const mounts = new Map<string, WantedMount>();
  for (const from of hostConfig.VolumesFrom ?? []) {
    const { container, mode } = parseVolumesFrom(from);
    for (const mount of donor(container))
      mounts.set(mount.destination, {
        ...mount,
        readWrite: mount.readWrite && !mode.split(",").includes("ro"),
        copyData: false,
        volume: undefined,
        ...(mount.image === undefined ? {} : { image: { ...mount.image, layer: "" } }),
      });
  }
  const explicit = new Set<string>();
  for (const [destination, options] of Object.entries(hostConfig.Tmpfs ?? {})) {
    checkDestination(destination);
    parseTmpfsOptions(options);
    explicit.add(clean(destination));
  }
  const tmpfsDestinations = new Set(explicit);
  const add = (mount: WantedMount): void => {
    if (explicit.has(mount.destination))
      throw new EngineError("invalid-argument", `Duplicate mount point: ${mount.destination}`);
    explicit.add(mount.destination);
    mounts.set(mount.destination, mount);
  };
  for (const bind of hostConfig.Binds ?? []) add(parseBind(bind, hostConfig.VolumeDriver));
  for (const mount of hostConfig.Mounts ?? []) add(parseMount(mount));
  for (const destination of Object.keys(config.Volumes ?? {})) {
    checkDestination(destination);
    const target = clean(destination);
    if (mounts.has(target) || tmpfsDestinations.has(target)) continue;
    mounts.set(target, anonymousVolume(target, hostConfig.VolumeDriver));
  }
  return [...mounts.values()];
}

function anonymousVolume(destination: string, driver: string): WantedMount {
  return {
    ...empty,
    type: "volume",
    destination,
    driver: driver || "local",
    copyData: true,
    anonymous: true,
    // This names it, not the part of volumes: the row must have the name before the volume exists.
    volume: { name: randomId(), driver: driver || "local", options: {}, labels: { ...anonymousLabels } },
  };
}

function parseVolumesFrom(text: string): { container: string; mode: string } {
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
export function parseBind(raw: string, volumeDriver: string): WantedMount {
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
    throw invalid(`invalid mount config for type "${type}": ${(error as Error).message}`);
  }
  const readWrite = !words.includes("ro");
  if (type === "bind")
    return {
      ...empty,
      source: clean(source),
      destination: clean(target),
      mode: third,
      readWrite,
      propagation: propagation ?? "rprivate",
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

/** Each kind of word at most once: access, labelling, copying, propagation, consistency. */
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

/** One of HostConfig.Mounts. */
export function parseMount(mount: Mount): WantedMount {
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
    throw invalid((error as Error).message);
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
        propagation: options.Propagation || "rprivate",
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
        copyData: options.NoCopy !== true && subpath === "",
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
      if (mode > 0o7777) throw invalid(`TmpfsOptions.Mode is 0${mode.toString(8)}, at most 07777 is a mode`);
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

/** Options and the one type of mount that they are for. */
const optionFields = [
  ["BindOptions", "bind"],
  ["VolumeOptions", "volume"],
  ["ImageOptions", "image"],
  ["TmpfsOptions", "tmpfs"],
] as const;

/** A relative path that does not leave where it begins, by its text alone. */
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

const tmpfsFlags = new Set(
  (
    "ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime noatime diratime nodiratime bind rbind " +
    "unbindable runbindable private rprivate shared rshared slave rslave relatime norelatime strictatime nostrictatime defaults"
  ).split(" "),
);
const tmpfsKeys = new Set(["mode", "uid", "gid", "size", "nr_blocks", "nr_inodes", "mpol", "huge"]);

/** Words of `--tmpfs PATH:OPTIONS`. @throws invalid-argument 'invalid tmpfs option "x"' */
export function parseTmpfsOptions(text: string): string[] {
  const words = text === "" ? [] : text.split(",");
  for (const word of words) {
    const equals = word.indexOf("=");
    const known = equals < 0 ? tmpfsFlags.has(word) : tmpfsKeys.has(word.slice(0, equals));
    if (!known) throw new EngineError("invalid-argument", `invalid tmpfs option ${JSON.stringify(word)}`);
  }
  return words;
}

function checkDestination(path: string): void {
  if (!path.startsWith("/"))
    throw new EngineError("invalid-argument", `invalid mount path: '${path}' mount path must be absolute`);
  if (clean(path) === "/") throw new EngineError("invalid-argument", "invalid specification: destination can't be '/'");
}

/** Without doubled slashes, "." and "..", as text. */
function clean(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** `--tmpfs` as mounts. They are no part of a container's list of mounts, as clients see it. */
export function tmpfsMounts(hostConfig: HostConfig): MountPoint[] {
  return Object.entries(hostConfig.Tmpfs ?? {}).map(([destination, options]) => {
    const { volume: _none, ...mount } = {
      ...empty,
      destination: clean(destination),
      tmpfsOptions: parseTmpfsOptions(options),
    };
    return { ...mount, type: "tmpfs" };
  });
}
