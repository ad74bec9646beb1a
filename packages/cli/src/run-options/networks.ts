/** `--network` and what belongs to the container's place in it. */
import type { EndpointSettingsBody } from "@fathom/spec";
import type { ParsedFlags } from "../grammar/flags.ts";

function isUserDefined(mode: string): boolean {
  return !["default", "bridge", "host", "none"].includes(mode) && !mode.startsWith("container:");
}

export function networkOf(flags: ParsedFlags): { mode: string; endpoints: Record<string, EndpointSettingsBody> } {
  const named = [...flags.list("network"), ...flags.list("net")];
  const mode = named[0] ?? "default";
  const addresses = {
    ...(flags.string("ip") === "" && flags.string("ip6") === ""
      ? {}
      : { IPv4Address: flags.string("ip"), IPv6Address: flags.string("ip6") }),
    ...(flags.list("link-local-ip").length === 0 ? {} : { LinkLocalIPs: [...flags.list("link-local-ip")] }),
  };
  const links = flags.list("link");
  const endpoint: EndpointSettingsBody = {
    ...(flags.string("mac-address") === "" ? {} : { MacAddress: flags.string("mac-address") }),
    ...(flags.list("network-alias").length === 0 ? {} : { Aliases: [...flags.list("network-alias")] }),
    ...(Object.keys(addresses).length === 0 ? {} : { IPAMConfig: addresses }),
    // On the default bridge, the daemon reads the links of the container itself.
    ...(links.length > 0 && isUserDefined(mode) ? { Links: [...links] } : {}),
  };
  const endpoints: Record<string, EndpointSettingsBody> = {};
  if (Object.keys(endpoint).length > 0) endpoints[mode] = endpoint;
  for (const name of named.slice(1)) endpoints[name] = {};
  return { mode, endpoints };
}
