import type { CommandContext } from "../../grammar/command.ts";
import { keyValueMap } from "../../run-options/files.ts";
import { connect } from "../../session/session.ts";
import { words } from "./words.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, args } = context;
  const [network = "", container = ""] = args;
  const [ip, ip6, linkLocal] = [flags.string("ip"), flags.string("ip6"), flags.list("link-local-ip")];
  const options = words(flags.list("driver-opt"));
  if (options.some((option) => !option.includes("=")))
    throw new Error("invalid key/value pair format in driver options");
  const config = {
    ...(ip === "" && ip6 === "" && linkLocal.length === 0
      ? {}
      : {
          IPAMConfig: {
            ...(ip === "" ? {} : { IPv4Address: ip }),
            ...(ip6 === "" ? {} : { IPv6Address: ip6 }),
            ...(linkLocal.length === 0 ? {} : { LinkLocalIPs: words(linkLocal) }),
          },
        }),
    ...(flags.list("link").length === 0 ? {} : { Links: flags.list("link") }),
    ...(flags.list("alias").length === 0 ? {} : { Aliases: words(flags.list("alias")) }),
    ...(options.length === 0 ? {} : { DriverOpts: keyValueMap(options) }),
    GwPriority: flags.int("gw-priority"),
  };
  const client = await connect(context);
  await client.send("POST", `/networks/${encodeURIComponent(network)}/connect`, {
    body: { Container: container, EndpointConfig: config },
  });
  return 0;
}
