/** Makes port requests of Docker's PortBindings, ExposedPorts and PublishAllPorts, with dockerd's checks. */
import { EngineError } from "@fathom/base";
import type { PortRequest, Protocol } from "../contract.ts";
import { familyOf } from "../ipam/ip.ts";

/** One entry of HostConfig.PortBindings["80/tcp"]. */
export interface HostBinding {
  readonly HostIp?: string | undefined;
  /** "", "8080" or "8080-8090". */
  readonly HostPort?: string | undefined;
}

export interface PortSpec {
  readonly port: number;
  readonly protocol: Protocol;
}

/** `80`, `80/tcp`, `53/UDP`; undefined when it is invalid. Port 0 is invalid. */
export function parsePortSpec(text: string): PortSpec | undefined {
  const match = /^(\d{1,5})(?:\/([a-z]+))?$/i.exec(text);
  if (!match) return undefined;
  const port = Number(match[1]);
  const protocol = (match[2] ?? "tcp").toLowerCase();
  if (port < 1 || port > 65535 || !isProtocol(protocol)) return undefined;
  return { port, protocol };
}

function isProtocol(text: string): text is Protocol {
  return text === "tcp" || text === "udp" || text === "sctp";
}

/** "" means any port (0–0); undefined when it is no port or range. */
export function parsePortRange(text: string): { readonly first: number; readonly last: number } | undefined {
  if (text === "") return { first: 0, last: 0 };
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (!match) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return last > 65535 || last < first ? undefined : { first, last };
}

/**
 * The ports that a container wants to publish.
 * @param exposed Keys of Config.ExposedPorts: "80/tcp".
 * @param bindings HostConfig.PortBindings. A null or empty list counts as one empty binding (a random port).
 * @throws invalid-argument in dockerd's words.
 */
export function expandPorts(
  exposed: readonly string[],
  bindings: Readonly<Record<string, readonly HostBinding[] | null | undefined>>,
  publishAll: boolean,
): PortRequest[] {
  const requests: PortRequest[] = [];
  for (const [key, list] of Object.entries(bindings)) {
    const spec = parsePortSpec(key);
    if (spec === undefined)
      throw new EngineError("invalid-argument", `invalid port specification: ${JSON.stringify(key)}`);
    for (const binding of list === null || list === undefined || list.length === 0 ? [{}] : list) {
      const range = parsePortRange(binding.HostPort ?? "");
      if (range === undefined)
        throw new EngineError("invalid-argument", `invalid port specification: ${JSON.stringify(binding.HostPort)}`);
      const hostIp = binding.HostIp ?? "";
      if (hostIp !== "" && familyOf(hostIp) === undefined)
        throw new EngineError("invalid-argument", `invalid IP address: ${hostIp}`);
      requests.push({
        protocol: spec.protocol,
        containerPort: spec.port,
        hostIp,
        hostPortFirst: range.first,
        hostPortLast: range.last,
      });
    }
  }
  if (publishAll)
    for (const key of exposed) {
      const spec = parsePortSpec(key);
      if (spec === undefined)
        throw new EngineError("invalid-argument", `invalid port specification: ${JSON.stringify(key)}`);
      const known = requests.some(
        (request) => request.protocol === spec.protocol && request.containerPort === spec.port,
      );
      if (!known)
        requests.push({
          protocol: spec.protocol,
          containerPort: spec.port,
          hostIp: "",
          hostPortFirst: 0,
          hostPortLast: 0,
        });
    }
  return requests;
}
