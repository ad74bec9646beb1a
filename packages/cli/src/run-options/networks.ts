/** `--network`, in its short and long form, and what belongs to the container's place in it. Errors in docker's words. */
import type { EndpointSettingsBody } from "@fathom/spec";
import type { ParsedFlags } from "../grammar/flags.ts";
import { parseCsvRecord } from "./values.ts";

interface Attachment {
  readonly target: string;
  readonly aliases: string[];
  readonly linkLocal: string[];
  readonly driverOptions: Record<string, string>;
  address4: string;
  address6: string;
  mac: string;
  priority: number;
}

function attachmentTo(target: string): Attachment {
  return { target, aliases: [], linkLocal: [], driverOptions: {}, address4: "", address6: "", mac: "", priority: 0 };
}

/** "NAME", or "name=NAME,alias=…,ip=…,ip6=…,mac-address=…,link-local-ip=…,driver-opt=KEY=VALUE,gw-priority=N". */
export function parseNetwork(value: string): Attachment {
  if (!/\w+=\w+(,\w+=\w+)*/.test(value)) return attachmentTo(value);
  const pairs = parseCsvRecord(value).map((field) => {
    const equals = field.indexOf("=");
    if (equals <= 0) throw new Error(`invalid field ${field}`);
    // Docker turns all of it into lower case.
    return [
      field.slice(0, equals).trim().toLowerCase(),
      field
        .slice(equals + 1)
        .trim()
        .toLowerCase(),
    ] as const;
  });
  const found = attachmentTo(pairs.findLast(([key]) => key === "name")?.[1] ?? "");
  for (const [key, text] of pairs) {
    switch (key) {
      case "name":
        break;
      case "alias":
        found.aliases.push(text);
        break;
      case "ip":
        found.address4 = text;
        break;
      case "ip6":
        found.address6 = text;
        break;
      case "mac-address":
        found.mac = text;
        break;
      case "link-local-ip":
        found.linkLocal.push(text);
        break;
      case "driver-opt": {
        const equals = text.indexOf("=");
        if (equals <= 0) throw new Error("invalid key value pair format in driver options");
        found.driverOptions[text.slice(0, equals).trim()] = text.slice(equals + 1).trim();
        break;
      }
      case "gw-priority":
        if (!/^[+-]?\d+$/.test(text)) throw new Error(`invalid gw-priority (${text}): invalid syntax`);
        found.priority = Number(text);
        break;
      default:
        throw new Error(`invalid field key ${key}`);
    }
  }
  if (found.target === "") throw new Error("network name/id is not specified");
  return found;
}

function isUserDefined(mode: string): boolean {
  return !["default", "bridge", "host", "none"].includes(mode) && !mode.startsWith("container:");
}

/** The flags that are not part of `--network` belong to the first network. */
function withFlags(first: Attachment, flags: ParsedFlags): Attachment {
  const conflict = (given: boolean, flag: string, words: string): void => {
    const set = flags.list(flag).some((text) => text !== "");
    if (given && set) throw new Error(`conflicting options: cannot specify both --${flag} and per-network ${words}`);
  };
  conflict(first.aliases.length > 0, "network-alias", "alias");
  conflict(first.address4 !== "", "ip", "IPv4 address");
  conflict(first.address6 !== "", "ip6", "IPv6 address");
  conflict(first.mac !== "", "mac-address", "MAC address");
  conflict(first.linkLocal.length > 0, "link-local-ip", "link-local IP addresses");
  return {
    ...first,
    aliases: [...first.aliases, ...flags.list("network-alias")],
    linkLocal: [...first.linkLocal, ...flags.list("link-local-ip")],
    address4: first.address4 || flags.string("ip"),
    address6: first.address6 || flags.string("ip6"),
    mac: first.mac || flags.string("mac-address"),
  };
}

function endpointOf(attachment: Attachment, links: readonly string[]): EndpointSettingsBody {
  const { target, aliases, linkLocal, driverOptions, address4, address6, mac, priority } = attachment;
  if (target.trim() === "") throw new Error("no name set for network");
  if (!isUserDefined(target) && aliases.length > 0)
    throw new Error("network-scoped aliases are only supported for user-defined networks");
  if (mac !== "" && !/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(mac))
    throw new Error(`${mac} is not a valid mac address`);
  const addresses = {
    ...(address4 === "" && address6 === "" ? {} : { IPv4Address: address4, IPv6Address: address6 }),
    ...(linkLocal.length === 0 ? {} : { LinkLocalIPs: linkLocal }),
  };
  return {
    ...(mac === "" ? {} : { MacAddress: mac }),
    ...(aliases.length === 0 ? {} : { Aliases: aliases }),
    ...(Object.keys(addresses).length === 0 ? {} : { IPAMConfig: addresses }),
    // On the default bridge, the daemon reads the links of the container itself.
    ...(links.length > 0 && isUserDefined(target) ? { Links: [...links] } : {}),
    ...(Object.keys(driverOptions).length === 0 ? {} : { DriverOpts: driverOptions }),
    ...(priority === 0 ? {} : { GwPriority: priority }),
  };
}

export function networkOf(flags: ParsedFlags): { mode: string; endpoints: Record<string, EndpointSettingsBody> } {
  const named = [...flags.list("network"), ...flags.list("net")].map(parseNetwork);
  const [first = attachmentTo("default"), ...more] = named;
  const endpoints: Record<string, EndpointSettingsBody> = {};
  const own = endpointOf(withFlags(first, flags), flags.list("link"));
  if (Object.keys(own).length > 0 || more.length > 0) endpoints[first.target] = own;
  for (const attachment of more) {
    if (attachment.target in endpoints)
      throw new Error(`network ${JSON.stringify(attachment.target)} is specified multiple times`);
    endpoints[attachment.target] = endpointOf(attachment, []);
  }
  const kinds = new Set(named.map(({ target }) => isUserDefined(target)));
  if (kinds.size > 1)
    throw new Error("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
  return { mode: first.target, endpoints };
}
