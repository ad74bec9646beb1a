import { formatRfc3339Nano } from "@fathom/base";
import type { CommandContext } from "../command.ts";
import { filtersQuery } from "../filters.ts";
import { connect } from "../session.ts";
import { compileTemplate } from "../template/template.ts";
import { timestampQuery } from "../timestamps.ts";

interface Event {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> | null };
  readonly time: number;
  readonly timeNano: number;
}

/** "2026-01-02T15:04:05.123456789Z container start ID (image=…, name=…)" */
function line(event: Event): string {
  const attributes = Object.entries(event.Actor.Attributes ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const words = attributes.map(([key, value]) => `${key}=${value}`).join(", ");
  const time = formatRfc3339Nano(BigInt(event.timeNano)).replace(
    /(?:\.(\d+))?Z$/,
    (_, fraction: string | undefined) => `.${(fraction ?? "").padEnd(9, "0")}Z`,
  );
  return `${time} ${event.Type} ${event.Action} ${event.Actor.ID}${words === "" ? "" : ` (${words})`}\n`;
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const client = await connect(context);
  const format = flags.string("format");
  const template = format === "" || format === "json" ? undefined : compileTemplate(format);
  const events = client.messages<Event>("GET", "/events", {
    query: {
      since: timestampQuery(flags.string("since"), ""),
      until: timestampQuery(flags.string("until"), ""),
      filters: filtersQuery(flags.list("filter")),
    },
  });
  for await (const event of events) {
    if (format === "json") stdout.write(`${JSON.stringify(event)}\n`);
    else stdout.write(template === undefined ? line(event) : `${template.render(event)}\n`);
  }
  return 0;
}
