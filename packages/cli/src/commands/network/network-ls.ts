import type { CommandContext } from "../../grammar/command.ts";
import { filtersQuery } from "../../session/filters.ts";
import { formatList, terminalWidth } from "../../output/list-printer.ts";
import { connect } from "../../session/session.ts";

interface Network {
  readonly Id: string;
  readonly Name: string;
  readonly Driver: string;
  readonly Scope: string;
}

const headings = { ID: "NETWORK ID", Name: "NAME", Driver: "DRIVER", Scope: "SCOPE" } as const;

export async function run(context: CommandContext): Promise<number> {
  const { flags } = context;
  const client = await connect(context);
  const networks = await client.list<Network>("GET", "/networks", {
    query: { filters: filtersQuery(flags.list("filter")) },
  });
  const whole = flags.bool("no-trunc");
  const items = networks.toSorted((a, b) => (a.Name < b.Name ? -1 : 1));
  const fields = (network: Network): Readonly<Record<string, string>> => ({
    ID: whole ? network.Id : network.Id.slice(0, 12),
    Name: network.Name,
    Driver: network.Driver,
    Scope: network.Scope,
  });
  context.stdout.write(
    formatList(
      { items, fields, headings, columns: ["ID", "Name", "Driver", "Scope"], quietField: "ID" },
      { format: flags.string("format"), quiet: flags.bool("quiet"), width: terminalWidth(context) },
    ),
  );
  return 0;
}
