import type { CommandContext } from "../../grammar/command.ts";
import { keyValueMap, labelsOf } from "../../run-options/files.ts";
import { connect } from "../../session/session.ts";
import { ipamConfig } from "./ipam.ts";
import { words } from "./words.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const configFrom = flags.string("config-from");
  const body = {
    Name: context.args[0] ?? "",
    Driver: flags.string("driver"),
    Scope: flags.string("scope"),
    Internal: flags.bool("internal"),
    Attachable: flags.bool("attachable"),
    Ingress: flags.bool("ingress"),
    ConfigOnly: flags.bool("config-only"),
    ConfigFrom: configFrom === "" ? null : { Network: configFrom },
    // Without the flag, the options of the driver may decide.
    ...(flags.changed("ipv4") ? { EnableIPv4: flags.bool("ipv4") } : {}),
    ...(flags.changed("ipv6") ? { EnableIPv6: flags.bool("ipv6") } : {}),
    IPAM: {
      Driver: flags.string("ipam-driver"),
      Options: keyValueMap(flags.list("ipam-opt")),
      Config: ipamConfig({
        subnets: words(flags.list("subnet")),
        ranges: words(flags.list("ip-range")),
        gateways: words(flags.list("gateway")),
        auxiliary: keyValueMap(flags.list("aux-address")),
      }),
    },
    Options: keyValueMap(flags.list("opt")),
    Labels: labelsOf([], flags.list("label")),
  };
  const client = await connect(context);
  const { Id } = await client.json<{ Id: string }>("POST", "/networks/create", { body });
  stdout.write(`${Id}\n`);
  return 0;
}
