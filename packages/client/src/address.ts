/** The address on which a daemon listens. */
import { EngineError } from "@fathom/base";
import type { ClientTls } from "@fathom/http";

export type Address =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number; readonly tls?: ClientTls };

export interface DaemonAddress {
  /** unix:// or tcp:// */
  readonly host: string;
  /** For tcp:// only. */
  readonly tls?: ClientTls;
}

export const defaultHost = "unix:///run/fathom/fathom.sock";

/** "unix:///path" or "tcp://host:port". The usual port is 2375, and 2376 with TLS. @throws invalid-argument */
export function parseHost(host: string, tls?: ClientTls): Address {
  if (host.startsWith("unix://")) return { kind: "unix", path: host.slice("unix://".length) };
  const match = /^(?:tcp|http):\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?\/?$/.exec(host);
  if (match === null)
    throw new EngineError(
      "invalid-argument",
      `unable to parse docker host \`${host}\`: use unix:///path or tcp://host:port`,
    );
  return {
    kind: "tcp",
    hostname: match[1]!.replace(/^\[|\]$/g, ""),
    port: Number(match[2] ?? (tls === undefined ? 2375 : 2376)),
    ...(tls === undefined ? {} : { tls }),
  };
}
