/**
 * HTTP proxies by the rules of Go's httpproxy, which Docker's users know. The runtime's fetch would apply rules of its own to the
 * environment (of the thread: a worker has a copy), and knows no way to say "none": so the variables are taken out of it once, before the
 * first request of the thread, and every request names its proxy itself.
 */
import { isIP } from "node:net";
import { inCidr, isLoopbackHost, parseCidr } from "./addresses.ts";

export interface ProxySettings {
  readonly http?: string;
  readonly https?: string;
  readonly no?: string;
}

let taken: ProxySettings | undefined;

/**
 * The proxy settings of the process. A thread's first call removes them from process.env (see above); everything that wants to show or pass them on asks here.
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
    const cidr = parseCidr(entry);
    if (cidr !== undefined) {
      if (isIP(host) !== 0 && inCidr(host, cidr)) return true;
      continue;
    }
    const withPort = /^(.+):(\d+)$/.exec(entry);
    if (withPort && isIP(entry) === 0) {
      if (withPort[2] !== port) continue;
      entry = withPort[1]!;
    }
    entry = entry.replace(/^\[|\]$/g, "").replace(/^\*(?=\.)/, "");
    // A leading dot means names below it only; without one the name itself is meant too.
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
