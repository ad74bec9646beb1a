/** The `--mount` flag: the key=value fields of one mount, as the API's Mount. */
import { parseBytes, parseCsvRecord } from "./values.ts";

export interface Mount {
  Type?: string;
  Source?: string;
  Target?: string;
  ReadOnly?: boolean;
  Consistency?: string;
  BindOptions?: {
    Propagation?: string;
    NonRecursive?: boolean;
    CreateMountpoint?: boolean;
    ReadOnlyNonRecursive?: boolean;
    ReadOnlyForceRecursive?: boolean;
  };
  VolumeOptions?: {
    NoCopy?: boolean;
    Labels?: Record<string, string>;
    Subpath?: string;
    DriverConfig?: { Name?: string; Options?: Record<string, string> };
  };
  TmpfsOptions?: { SizeBytes?: number; Mode?: number };
  ImageOptions?: { Subpath?: string };
}

function boolean(key: string, value: string | undefined): boolean {
  if (value === undefined) return true;
  if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new Error(`invalid value for ${key}: ${value}`);
}

function pair(value: string): readonly [string, string] {
  const equals = value.indexOf("=");
  return equals < 0 ? [value, ""] : [value.slice(0, equals), value.slice(equals + 1)];
}

/** Fields that need no value. */
const flagKeys = new Set(["readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"]);

export function parseMount(text: string): Mount {
  const mount: Mount = {};
  const bind = (): NonNullable<Mount["BindOptions"]> => (mount.BindOptions ??= {});
  const volume = (): NonNullable<Mount["VolumeOptions"]> => (mount.VolumeOptions ??= {});
  const tmpfs = (): NonNullable<Mount["TmpfsOptions"]> => (mount.TmpfsOptions ??= {});
  let type: string | undefined;
  for (const field of parseCsvRecord(text)) {
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    const value = equals < 0 ? undefined : field.slice(equals + 1);
    if (value === undefined && !flagKeys.has(key)) throw new Error(`invalid field '${field}' must be a key=value pair`);
    const given = value ?? "";
    switch (key) {
      case "type":
        type = given.toLowerCase();
        break;
      case "source":
      case "src":
        mount.Source =
          given.startsWith("./") || given === "." || given === ".." || given.startsWith("../")
            ? absolute(given)
            : given;
        break;
      case "target":
      case "dst":
      case "destination":
        mount.Target = given;
        break;
      case "readonly":
      case "ro":
        mount.ReadOnly = boolean(key, value);
        break;
      case "consistency":
        mount.Consistency = given.toLowerCase();
        break;
      case "bind-propagation":
        bind().Propagation = given.toLowerCase();
        break;
      case "bind-nonrecursive":
        bind().NonRecursive = boolean(key, value);
        break;
      case "bind-recursive":
        if (given === "enabled") break;
        if (given === "disabled") bind().NonRecursive = true;
        else if (given === "writable") bind().ReadOnlyNonRecursive = true;
        else if (given === "readonly") bind().ReadOnlyForceRecursive = true;
        else
          throw new Error(
            `invalid value for ${key}: ${given} (must be "enabled", "disabled", "writable", or "readonly")`,
          );
        break;
      case "bind-create-src":
        bind().CreateMountpoint = boolean(key, value);
        break;
      case "volume-nocopy":
        volume().NoCopy = boolean(key, value);
        break;
      case "volume-subpath":
        volume().Subpath = given;
        break;
      case "volume-label": {
        const [name, content] = pair(given);
        (volume().Labels ??= {})[name] = content;
        break;
      }
      case "volume-driver":
        (volume().DriverConfig ??= {}).Name = given;
        break;
      case "volume-opt": {
        const [name, content] = pair(given);
        ((volume().DriverConfig ??= {}).Options ??= {})[name] = content;
        break;
      }
      case "image-subpath":
        (mount.ImageOptions ??= {}).Subpath = given;
        break;
      case "tmpfs-size":
        try {
          tmpfs().SizeBytes = parseBytes(given);
        } catch {
          throw new Error(`invalid value for ${key}: ${given}`);
        }
        break;
      case "tmpfs-mode":
        if (!/^[0-7]+$/.test(given)) throw new Error(`invalid value for ${key}: ${given}`);
        tmpfs().Mode = Number.parseInt(given, 8);
        break;
      default:
        throw new Error(`unexpected key '${key}' in '${field}'`);
    }
  }
  mount.Type = type ?? "volume";
  if (mount.Target === undefined) throw new Error("target is required");
  if (mount.VolumeOptions !== undefined && mount.Type !== "volume")
    throw new Error(`cannot mix 'volume-*' options with mount type '${mount.Type}'`);
  if (mount.BindOptions !== undefined && mount.Type !== "bind")
    throw new Error(`cannot mix 'bind-*' options with mount type '${mount.Type}'`);
  if (mount.TmpfsOptions !== undefined && mount.Type !== "tmpfs")
    throw new Error(`cannot mix 'tmpfs-*' options with mount type '${mount.Type}'`);
  return mount;
}

function absolute(path: string): string {
  return new URL(path, `file://${process.cwd()}/`).pathname.replace(/(.)\/$/, "$1");
}
