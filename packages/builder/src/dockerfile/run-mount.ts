/** `RUN --mount=type=cache,target=/root/.cache`. */
import { wrong } from "./dockerfile-error.ts";
import { suggestion } from "./suggest.ts";

export type MountType = "bind" | "cache" | "tmpfs" | "secret" | "ssh";

/** Texts may contain variables. */
export interface RunMount {
  readonly type: MountType;
  readonly target: string | undefined;
  readonly source: string | undefined;
  readonly from: string | undefined;
  readonly id: string | undefined;
  readonly readOnly: boolean;
  readonly required: boolean;
  readonly sharing: "shared" | "private" | "locked";
  /** "512m" */
  readonly size: string | undefined;
  readonly mode: string | undefined;
  readonly uid: string | undefined;
  readonly gid: string | undefined;
  /** Name of the variable that gets a secret's value. */
  readonly environment: string | undefined;
}

/** The options that each type has, by their long names. */
const options: Readonly<Record<MountType, readonly string[]>> = {
  bind: ["target", "source", "from", "readonly", "readwrite"],
  cache: ["target", "source", "from", "id", "readonly", "readwrite", "sharing", "mode", "uid", "gid"],
  tmpfs: ["target", "size"],
  secret: ["target", "id", "required", "mode", "uid", "gid", "env"],
  ssh: ["target", "id", "required", "mode", "uid", "gid"],
};

const aliases: Readonly<Record<string, string>> = {
  dst: "target",
  destination: "target",
  src: "source",
  ro: "readonly",
  rw: "readwrite",
};

/** @throws DockerfileError */
export function parseRunMount(text: string): RunMount {
  const values = new Map<string, string>();
  for (const field of fieldsOf(text)) {
    const [, key = "", value] = /^([^=]*)(?:=([\s\S]*))?$/.exec(field) ?? [];
    const name = aliases[key.toLowerCase()] ?? key.toLowerCase();
    if (value === undefined && !["readonly", "readwrite", "required"].includes(name))
      throw wrong(`invalid field '${field}' must be a key=value pair`);
    values.set(name, value ?? "true");
  }
  const type = mountType(values.get("type") ?? "bind");
  const known = ["type", ...options[type]];
  for (const name of values.keys())
    if (!known.includes(name))
      throw wrong(`unexpected key '${name}' for mount type '${type}'${suggestion(name, known)}`);
  const target = values.get("target");
  if (target === undefined && type !== "secret" && type !== "ssh")
    throw wrong(`target is required for mount type '${type}'`);
  const sharing = values.get("sharing") ?? "shared";
  if (sharing !== "shared" && sharing !== "private" && sharing !== "locked")
    throw wrong(`unsupported sharing value ${JSON.stringify(sharing)}`);
  const writable = values.has("readwrite") ? truth("readwrite", values.get("readwrite")!) : undefined;
  const readOnly = values.has("readonly") ? truth("readonly", values.get("readonly")!) : undefined;
  return {
    type,
    target,
    source: values.get("source"),
    from: values.get("from"),
    id: values.get("id"),
    readOnly: readOnly ?? (writable === undefined ? type === "bind" : !writable),
    required: truth("required", values.get("required") ?? "false"),
    sharing,
    size: values.get("size"),
    mode: values.get("mode"),
    uid: values.get("uid"),
    gid: values.get("gid"),
    environment: values.get("env"),
  };
}

function mountType(text: string): MountType {
  const types: readonly MountType[] = ["bind", "cache", "tmpfs", "secret", "ssh"];
  const found = types.find((type) => type === text.toLowerCase());
  if (found === undefined) throw wrong(`unsupported mount type ${JSON.stringify(text)}${suggestion(text, types)}`);
  return found;
}

function truth(name: string, value: string): boolean {
  if (["true", "1", ""].includes(value.toLowerCase())) return true;
  if (["false", "0"].includes(value.toLowerCase())) return false;
  throw wrong(`invalid value for ${name}: ${value}`);
}

/** Fields of one line of CSV: a field in quotes may contain commas. */
function fieldsOf(text: string): string[] {
  const fields: string[] = [];
  const shape = /\s*(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)/y;
  for (let at = 0; at <= text.length;) {
    shape.lastIndex = at;
    const match = shape.exec(text);
    if (match === null) throw wrong(`invalid mount: ${text}`);
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    if (!match[0].endsWith(",")) break;
    at = shape.lastIndex;
  }
  return fields.filter((field) => field !== "");
}
