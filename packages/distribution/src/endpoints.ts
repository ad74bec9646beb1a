/** The base URLs of a reference's registry, in the order in which they are tried: mirrors, then the registry itself; HTTPS before plain HTTP. */
import { defaultRegistry, parseAddressPrefix, type AddressPrefix, type Reference } from "@fathom/spec";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { hostWithoutPort, isInRange, isLoopbackHost } from "./addresses.ts";
import type { RegistryConfig } from "./contract.ts";

export interface Endpoint {
  /** Everything before "/v2/", without a slash at the end. */
  readonly base: string;
  /** Certificates are not verified, and plain HTTP is allowed (also after a redirect). */
  readonly insecure: boolean;
  /** A mirror: it gets no credentials, and after any failure the next endpoint is tried. */
  readonly mirror: boolean;
}

/** The host that answers for docker.io. */
export const officialHost = "registry-1.docker.io";

/** Hosts that use plain HTTP, as an earlier request found out. So only the first pull pays for a failing TLS handshake. */
const plainHosts = new Set<string>();

export function rememberScheme(endpoint: Endpoint): void {
  const { protocol, host } = new URL(endpoint.base);
  if (!endpoint.insecure) return;
  if (protocol === "http:") plainHosts.add(host);
  else plainHosts.delete(host);
}

export function forgetSchemes(): void {
  plainHosts.clear();
}

/** The addresses of a name. */
type Resolve = (name: string) => Promise<readonly string[]>;

async function addressesOf(name: string): Promise<string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}

/** Registries of this machine itself, as in Docker. */
const loopback = ["127.0.0.0/8", "::1/128"].flatMap((range) => parseAddressPrefix(range) ?? []);

/** Whether `host[:port]` may be used without verified TLS: it is configured so, or one of its addresses is. */
async function isInsecure(host: string, registries: readonly string[], resolve: Resolve): Promise<boolean> {
  if (isLoopbackHost(host)) return true;
  const ranges: AddressPrefix[] = [...loopback];
  for (const entry of registries) {
    const range = parseAddressPrefix(entry);
    if (range === undefined) {
      if (entry.replace(/^https?:\/\//, "") === host) return true;
    } else ranges.push(range);
  }
  // Docker's own registry is no registry of this machine.
  if (host === officialHost && ranges.length === loopback.length) return false;
  const name = hostWithoutPort(host);
  const addresses = isIP(name) === 0 ? await resolve(name).catch(() => []) : [name];
  return addresses.some((address) => ranges.some((range) => isInRange(address, range)));
}

async function ofHost(host: string, config: RegistryConfig, resolve: Resolve): Promise<Endpoint[]> {
  const insecure = await isInsecure(host, config.insecureRegistries, resolve);
  const secure = { base: `https://${host}`, insecure, mirror: false };
  if (!insecure) return [secure];
  const plain = { base: `http://${host}`, insecure, mirror: false };
  return plainHosts.has(host) ? [plain, secure] : [secure, plain];
}

export async function endpointsOf(
  reference: Pick<Reference, "registry">,
  config: RegistryConfig,
  resolve: Resolve = addressesOf,
): Promise<readonly Endpoint[]> {
  if (reference.registry !== defaultRegistry) return ofHost(reference.registry, config, resolve);
  const mirrors: Endpoint[] = [];
  for (const mirror of config.mirrors) {
    const url = URL.parse(mirror.includes("://") ? mirror : `https://${mirror}`);
    if (url === null) continue;
    // The user configured a mirror with plain HTTP, so plain HTTP is allowed.
    const insecure = url.protocol === "http:" || (await isInsecure(url.host, config.insecureRegistries, resolve));
    mirrors.push({ base: `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, "")}`, insecure, mirror: true });
  }
  return [...mirrors, ...(await ofHost(officialHost, config, resolve))];
}
