/**
 * TLS files of a registry host in Docker's layout. `certs.d/<host[:port]>/*.crt` are certificate authorities, in addition to the system's.
 * `*.cert` and `*.key` with the same name are a client certificate and its key.
 */
import { EngineError, messageOf } from "@fathom/base";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface TlsMaterial {
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
}

/** Where Linux distributions keep the bundle of CAs that the machine trusts. */
const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** The machine's own CA bundle; empty when there is none. It is read at each call, because the client needs it only seldom. */
export function systemAuthorities(): readonly string[] {
  for (const path of systemBundles) {
    try {
      return [readFileSync(path, "utf8")];
    } catch {
      // No bundle here: try the next path.
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

/** The readable certificates of a PEM file; a bundle may also contain unreadable ones. @throws invalid-argument when there is none */
function readAuthorities(path: string): string {
  const blocks =
    read(path).match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? [];
  let problem = "it holds no PEM certificate";
  const good = blocks.filter((block) => {
    try {
      return new X509Certificate(block).fingerprint256 !== "";
    } catch (error) {
      problem = messageOf(error);
      return false;
    }
  });
  if (good.length > 0) return `${good.join("\n")}\n`;
  throw new EngineError("invalid-argument", `the registry certificate ${path} cannot be used: ${problem}`);
}

/** @throws invalid-argument when a file cannot be read, or when the certificate and the key do not belong together */
function readClient(certPath: string, keyPath: string): { cert: string; key: string } {
  const cert = read(certPath);
  const key = read(keyPath);
  const parsed = parsedOr(certPath, () => new X509Certificate(cert));
  const secret = parsedOr(keyPath, () => createPrivateKey(key));
  if (!parsed.checkPrivateKey(secret))
    throw new EngineError(
      "invalid-argument",
      `the client certificate ${certPath} does not belong to the key ${keyPath}`,
    );
  return { cert, key };
}

function parsedOr<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new EngineError("invalid-argument", `the registry certificate ${path} cannot be used: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/**
 * @param hosts Possible names of the folder: "registry.example:5000".
 * @returns undefined when no folder has a file for the host.
 * @throws invalid-argument for a client certificate without its key, and for a file that cannot be read or used; the message names the file.
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
      if (name.endsWith(".crt")) authorities.push(readAuthorities(join(directory, name)));
      if (!name.endsWith(".cert")) continue;
      const key = `${name.slice(0, -".cert".length)}.key`;
      if (!names.includes(key))
        throw new EngineError(
          "invalid-argument",
          `missing key ${key} for client certificate ${name} in ${directory}. CA certificates must use the extension .crt`,
        );
      client ??= readClient(join(directory, name), join(directory, key));
    }
  }
  if (authorities.length === 0 && client === undefined) return undefined;
  return { ...(authorities.length > 0 ? { ca: [...authorities, ...systemAuthorities()] } : {}), ...client };
}
