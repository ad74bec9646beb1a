/** Addresses of log receivers, in Docker's forms and with its errors. */
import { EngineError } from "@fathom/base";
import type { DatagramPlace, StreamPlace } from "@fathom/containers";

export interface Address {
  readonly scheme: string;
  /** Without brackets; "" when absent. */
  readonly host: string;
  /** "" when absent. */
  readonly port: string;
  readonly path: string;
}

export function invalid(message: string): EngineError {
  return new EngineError("invalid-argument", message);
}

/** The parts of a URL that such addresses use. @throws invalid-argument in Go's words */
export function parseAddress(text: string): Address {
  const match = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\/(\[[^\]]*\]|[^/:?#]*)(?::([^/?#]*))?([^?#]*)/.exec(text);
  if (match === null) {
    if (/^[^/]*:/.test(text) && !/^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(text))
      throw invalid(`parse ${JSON.stringify(text)}: first path segment in URL cannot contain colon`);
    return {
      scheme: /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase() ?? "",
      host: "",
      port: "",
      path: text,
    };
  }
  const [, scheme = "", host = "", port = "", path = ""] = match;
  if (!/^\d*$/.test(port))
    throw invalid(`parse ${JSON.stringify(text)}: invalid port ${JSON.stringify(`:${port}`)} after host`);
  return { scheme: scheme.toLowerCase(), host: host.replace(/^\[|\]$/g, ""), port, path };
}

const defaultSyslogPort = 514;

/** @throws invalid-argument "unsupported scheme: 'http'" */
export function syslogPlace(text: string): StreamPlace | DatagramPlace | { readonly kind: "local" } {
  if (text === "") return { kind: "local" };
  const { scheme, host, port, path } = parseAddress(text);
  switch (scheme) {
    case "unix":
    case "unixgram":
      return { kind: scheme, path };
    case "udp":
    case "tcp":
      return { kind: scheme, host: host || "localhost", port: portOf(port, defaultSyslogPort) };
    case "tcp+tls":
      return {
        kind: "tls",
        host: host || "localhost",
        port: portOf(port, defaultSyslogPort),
        identity: { verify: true },
      };
    default:
      throw invalid(`unsupported scheme: '${scheme}'`);
  }
}

/** @throws invalid-argument */
export function gelfPlace(
  text: string,
): Extract<StreamPlace, { kind: "tcp" }> | Extract<DatagramPlace, { kind: "udp" }> {
  if (text === "") throw invalid("gelf-address is a required parameter");
  const { scheme, host, port } = parseAddress(text);
  if (scheme !== "udp" && scheme !== "tcp") throw invalid("gelf: endpoint needs to be TCP or UDP");
  if (port === "") throw invalid("gelf: please provide gelf-address as proto://host:port");
  return { kind: scheme, host: host || "localhost", port: portOf(port, 0) };
}

const defaultFluentd = { host: "127.0.0.1", port: 24224 };

/** @throws invalid-argument "invalid fluentd-address (udp://x): unsupported scheme: 'udp'" */
export function fluentdPlace(text: string): StreamPlace {
  if (text === "") return { kind: "tcp", ...defaultFluentd };
  const wrong = (reason: string): EngineError => invalid(`invalid fluentd-address (${text}): ${reason}`);
  let address: Address;
  try {
    address = parseAddress(text.includes("://") ? text : `tcp://${text}`);
  } catch (error) {
    throw error instanceof EngineError ? wrong(error.message) : error;
  }
  const { scheme, path, host, port } = address;
  switch (scheme) {
    case "unix":
      if (path.replace(/^\/+/, "") === "") throw wrong("path is empty");
      return { kind: "unix", path };
    case "tcp":
    case "tls": {
      if (path !== "") throw wrong("should not contain a path element");
      if (Number(port) > 0xffff)
        throw wrong(`invalid port: strconv.ParseUint: parsing ${JSON.stringify(port)}: value out of range`);
      const place = { host: host || defaultFluentd.host, port: port === "" ? defaultFluentd.port : Number(port) };
      return scheme === "tcp" ? { kind: "tcp", ...place } : { kind: "tls", ...place, identity: { verify: true } };
    }
    default:
      throw wrong(`unsupported scheme: '${scheme}'`);
  }
}

function portOf(text: string, otherwise: number): number {
  if (text === "") return otherwise;
  const port = Number(text);
  if (port > 0xffff) throw invalid(`invalid port ${text}`);
  return port;
}
