/** `--publish` and `--expose` (go-connections/nat): ranges, protocols and addresses. */

export interface PortMapping {
  /** "80/tcp". */
  readonly port: string;
  readonly hostIp: string;
  /** "" for a random port, "8000-8010" for any port of a range. */
  readonly hostPort: string;
}

function range(text: string, what: string): readonly [number, number] {
  const parts = text.split("-");
  const number = (part: string): number => {
    const value = /^\d+$/.test(part) ? Number(part) : Number.NaN;
    if (!(value >= 0 && value <= 65535)) throw new Error(`invalid ${what}: ${text}`);
    return value;
  };
  if (parts.length > 2) throw new Error(`invalid ${what}: ${text}`);
  const first = number(parts[0]!);
  const last = parts[1] === undefined ? first : number(parts[1]);
  if (last < first) throw new Error(`invalid ${what}: ${text}`);
  return [first, last];
}

function protocolOf(text: string): readonly [string, string] {
  const slash = text.lastIndexOf("/");
  const protocol = slash < 0 ? "tcp" : text.slice(slash + 1).toLowerCase() || "tcp";
  if (!["tcp", "udp", "sctp"].includes(protocol)) throw new Error(`invalid proto: ${protocol}`);
  return [slash < 0 ? text : text.slice(0, slash), protocol];
}

/** `[address:][host port(s):]container port(s)[/protocol]` */
export function parsePublish(text: string): PortMapping[] {
  const [body, protocol] = protocolOf(text);
  const parts = /^(?:(?<address>\[[^\]]*\]|[^:]*):)?(?:(?<host>[^:]*):)?(?<container>[^:]*)$/.exec(body)?.groups;
  if (parts === undefined) throw new Error(`invalid publish opts format (should be name=value but got '${text}')`);
  // With one colon the first part is the host port; with two colons it is the address.
  const hasHost = parts["host"] !== undefined;
  const address = hasHost ? (parts["address"] ?? "") : "";
  const host = hasHost ? (parts["host"] ?? "") : (parts["address"] ?? "");
  const container = parts["container"] ?? "";
  if (container === "") throw new Error(`no port specified: ${text}<empty>`);
  const ip = address.replace(/^\[(.*)\]$/, "$1");
  if (ip !== "" && !/^[\d.]+$|:/.test(ip)) throw new Error(`invalid IP address: ${ip}`);
  const [first, last] = range(container, "containerPort");
  if (host === "")
    return Array.from({ length: last - first + 1 }, (_, i) => ({
      port: `${first + i}/${protocol}`,
      hostIp: ip,
      hostPort: "",
    }));
  const [hostFirst, hostLast] = range(host, "hostPort");
  if (last - first !== hostLast - hostFirst) {
    if (first !== last)
      throw new Error(`invalid ranges specified for container and host Ports: ${container} and ${host}`);
    return [{ port: `${first}/${protocol}`, hostIp: ip, hostPort: `${hostFirst}-${hostLast}` }];
  }
  return Array.from({ length: last - first + 1 }, (_, i) => ({
    port: `${first + i}/${protocol}`,
    hostIp: ip,
    hostPort: String(hostFirst + i),
  }));
}

/** Makes single ports of `port[-port][/protocol]`. */
export function parseExpose(text: string): string[] {
  if (text.includes(":")) throw new Error(`invalid port format for --expose: ${text}`);
  const [body, protocol] = protocolOf(text);
  let first: number;
  let last: number;
  try {
    [first, last] = range(body, "port");
  } catch {
    throw new Error(`invalid range format for --expose: ${text}, error: invalid start port '${body}': invalid syntax`);
  }
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${protocol}`);
}
