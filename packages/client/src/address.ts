/** The address on which a daemon listens. */
import { EngineError } from "@fathom/base";

export type Address =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number };

export const defaultHost = "unix:///run/fathom/fathom.sock";

/** "unix:///path" or "tcp://host:port". @throws invalid-argument */
export function parseHost(host: string): Address {
  if (host.startsWith("unix://")) return { kind: "unix", path: host.slice("unix://".length) };
  const match = /^(?:tcp|http):\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?\/?$/.exec(host);
  if (match === null)
    throw new EngineError(
      "invalid-argument",
      `unable to parse docker host \`${host}\`: use unix:///path or tcp://host:port`,
    );
  return { kind: "tcp", hostname: match[1]!.replace(/^\[|\]$/g, ""), port: Number(match[2] ?? 2375) };
}
