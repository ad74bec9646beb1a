/**
 * HTTP proxies by the rules of Go's httpproxy, which Docker's users know. The runtime's fetch would read the proxy variables with other rules
 * (a worker thread has a copy of the environment), and it has no option to use no proxy. So the first request of each thread removes the
 * variables from the environment, and every request names its proxy itself.
 */
import { isIP } from "node:net";
import { parseAddressPrefix } from "@fathom/spec";
import { isInRange, isLoopbackHost } from "../addresses.ts";

export interface ProxySettings {
  readonly http?: string;
  readonly https?: string;
  readonly no?: string;
}

let taken: ProxySettings | undefined;

/**
 * The proxy settings of the process. The first call in a thread removes them from process.env (see above). Code that shows the settings or
 * passes them on calls this.
 */
export function environmentProxy(): ProxySettings {
  if (taken !== undefined) return taken;
  const take = (name: string): string | undefined => {
    const value = process.env[name] ?? process.env[name.toLowerCase()];
    delete process.env[name];
    delete process.env[name.toLowerCase()];
    return value === "" ? undefined : value;
  };
  const http = take("HTTP_PROXY");
  const https = take("HTTPS_PROXY");
  const no = take("NO_PROXY");
  taken = {
    ...(http === undefined ? {} : { http }),
    ...(https === undefined ? {} : { https }),
    ...(no === undefined ? {} : { no }),
  };
  return taken;
}

function excluded(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  for (const raw of list.split(",")) {
    let entry = raw.trim().toLowerCase();
    if (entry === "") continue;
    if (entry === "*") return true;
    const range = parseAddressPrefix(entry);
    if (range !== undefined) {
      if (isIP(host) !== 0 && isInRange(host, range)) return true;
      continue;
    }
    const withPort = /^(.+):(\d+)$/.exec(entry);
    if (withPort && isIP(entry) === 0) {
      if (withPort[2] !== port) continue;
      entry = withPort[1]!;
    }
    entry = entry.replace(/^\[|\]$/g, "").replace(/^\*(?=\.)/, "");
    // With a leading dot, only names below it match; without one, the name itself also matches.
    if (isIP(host) === 0 && host.endsWith(entry.startsWith(".") ? entry : `.${entry}`)) return true;
    if (!entry.startsWith(".") && host === entry) return true;
  }
  return false;
}

/** The proxy for `url`, or undefined for a direct connection. Loopback is always direct. */
export function proxyFor(url: URL, settings: ProxySettings): string | undefined {
  const proxy = url.protocol === "https:" ? settings.https : settings.http;
  if (proxy === undefined || proxy === "" || isLoopbackHost(url.hostname)) return undefined;
  if (excluded(url, settings.no ?? "")) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}
