import { formatAge } from "@fathom/base";
import type { CommandContext } from "../../grammar/command.ts";
import { ellipsis } from "../../output/format.ts";
import { formatList, terminalWidth } from "../../output/list-printer.ts";
import { platformQuery } from "../../session/platform-query.ts";
import { connect } from "../../session/session.ts";
import { humanSize } from "@fathom/spec";

interface Item {
  readonly Id: string;
  readonly Created: number;
  readonly CreatedBy: string;
  readonly Size: number;
  readonly Comment: string;
}

const headings = {
  ID: "IMAGE",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  CreatedBy: "CREATED BY",
  Size: "SIZE",
  Comment: "COMMENT",
} as const;

export async function run(context: CommandContext): Promise<number> {
  const { flags } = context;
  const client = await connect(context);
  const items = await client.list<Item>("GET", `/images/${encodeURIComponent(context.args[0]!)}/history`, {
    query: { platform: platformQuery(flags.string("platform")) },
  });
  const whole = flags.bool("no-trunc");
  const human = flags.bool("human");
  const fields = (item: Item): Readonly<Record<string, string>> => {
    const at = new Date(item.Created * 1000).toISOString().replace(".000Z", "Z");
    const by = item.CreatedBy.replaceAll("\t", " ");
    return {
      ID: whole ? item.Id : item.Id.replace(/^sha256:/, "").slice(0, 12),
      CreatedAt: at,
      CreatedSince: human
        ? item.Created <= 0
          ? "N/A"
          : `${formatAge(BigInt(Math.max(0, Date.now() - item.Created * 1000)) * 1_000_000n)} ago`
        : at,
      CreatedBy: whole ? by : ellipsis(by, 45),
      Size: human ? humanSize(item.Size, 3) : String(item.Size),
      Comment: item.Comment,
    };
  };
  const columns = ["ID", human ? "CreatedSince" : "CreatedAt", "CreatedBy", "Size", "Comment"];
  context.stdout.write(
    formatList(
      { items, fields, headings, columns, quietField: "ID" },
      { format: flags.string("format"), quiet: flags.bool("quiet"), width: terminalWidth(context) },
    ),
  );
  return 0;
}
