import { EngineError } from "@fathom/base";
import type { CommandContext } from "../../grammar/command.ts";
import { connect } from "../../session/session.ts";

interface Ports {
  readonly NetworkSettings: {
    readonly Ports: Readonly<Record<string, readonly { HostIp: string; HostPort: string }[] | null>> | null;
  };
}

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  const [name, wanted] = context.args;
  const { NetworkSettings } = await client.json<Ports>("GET", `/containers/${encodeURIComponent(name!)}/json`);
  const address = (ip: string): string => (ip.includes(":") ? `[${ip}]` : ip);
  const entries = Object.entries(NetworkSettings.Ports ?? {});
  if (wanted !== undefined) {
    const key = wanted.includes("/") ? wanted : `${wanted}/tcp`;
    const bindings = entries.find(([port]) => port === key)?.[1];
    if (bindings === undefined || bindings === null)
      throw new EngineError("not-found", `Error: No public port '${wanted}' published for ${name}`);
    context.stdout.write(bindings.map(({ HostIp, HostPort }) => `${address(HostIp)}:${HostPort}\n`).join(""));
    return 0;
  }
  const lines = entries.flatMap(([port, bindings]) =>
    (bindings ?? []).map(({ HostIp, HostPort }) => `${port} -> ${address(HostIp)}:${HostPort}\n`),
  );
  context.stdout.write(lines.toSorted().join(""));
  return 0;
}
