/**
 * TLS material of a registry host as Docker lays it out: `certs.d/<host[:port]>/*.crt` are certificate authorities (added to the system's),
 * `*.cert` with `*.key` of the same name is a client certificate.
 */
import { EngineError, messageOf } from "@fathom/base";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface TlsMaterial {
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
}

/** Where Linux distributions keep the bundle of the CAs that the machine's owner trusts. */
const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** The machine's own CA bundle, empty where there is none. Read at each call: it is only asked for when it matters. */
export function systemAuthorities(): readonly string[] {
  for (const path of systemBundles) {
    try {
      return [readFileSync(path, "utf8")];
    } catch {
      // The next place.
    }
  }
  return [];
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new EngineError("invalid-argument", `cannot read the registry certificate ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/**
 * @param hosts Names that the folder may have: "registry.example:5000".
 * @returns undefined when no folder has anything for the host.
 * @throws invalid-argument for a client certificate without its key, or a file that cannot be read.
 */
export function loadCertificates(directories: readonly string[], hosts: readonly string[]): TlsMaterial | undefined {
  const authorities: string[] = [];
  let client: { cert: string; key: string } | undefined;
  for (const directory of directories.flatMap((base) => hosts.map((host) => join(base, host)))) {
    let names: string[];
    try {
      names = readdirSync(directory).sort();
    } catch {
      continue;
    }
    for (const name of names) {
      if (name.endsWith(".crt")) authorities.push(read(join(directory, name)));
      if (!name.endsWith(".cert")) continue;
      const key = `${name.slice(0, -".cert".length)}.key`;
      if (!names.includes(key))
        throw new EngineError(
          "invalid-argument",
          `missing key ${key} for client certificate ${name} in ${directory}. CA certificates must use the extension .crt`,
        );
      client ??= { cert: read(join(directory, name)), key: read(join(directory, key)) };
    }
  }
  if (authorities.length === 0 && client === undefined) return undefined;
  return { ...(authorities.length > 0 ? { ca: [...authorities, ...systemAuthorities()] } : {}), ...client };
}
