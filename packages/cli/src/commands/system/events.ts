import { EngineError, formatRfc3339Nano } from "@fathom/base";
import { isObject } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { filtersQuery } from "../../session/filters.ts";
import { readableApi } from "../../session/inspect-objects.ts";
import { connect } from "../../session/session.ts";
import { parseTemplate, toJson } from "@fathom/template";
import { timestampQuery } from "../../output/timestamps.ts";

interface Event {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> | null };
  readonly scope?: string;
  readonly time: number;
}

/** Nanoseconds since the epoch are too large for a JavaScript number, so they are read from the text of the line. */
function nanosecondsOf(text: string): bigint {
  // In a JSON string the quotes would be escaped, and all attributes are strings. So only the event's own number matches.
  return BigInt(/"timeNano":(\d+)/.exec(text)?.[1] ?? 0);
}

/** @throws internal when the line is not an event */
function parseEvent(text: string): Event {
  try {
    const value: unknown = JSON.parse(text);
    if (isEvent(value)) return value;
  } catch (cause) {
    throw new EngineError("internal", `the daemon sent an event that is no JSON: ${text}`, { cause });
  }
  throw new EngineError("internal", `the daemon sent something that is no event: ${text}`);
}

/** Members that are printed unchanged (scope, time) are not checked. */
function isEvent(value: unknown): value is Event {
  if (!isObject(value) || !isObject(value["Actor"])) return false;
  const { Type, Action, Actor } = value;
  const { Attributes } = Actor;
  return (
    typeof Type === "string" &&
    typeof Action === "string" &&
    typeof Actor["ID"] === "string" &&
    isObject(Attributes ?? {})
  );
}

/** In the order of a Go map. */
function withSortedAttributes(event: Event): Event {
  const sorted = Object.entries(event.Actor.Attributes ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { ...event, Actor: { ...event.Actor, Attributes: Object.fromEntries(sorted) } };
}

/** "2026-01-02T15:04:05.123456789Z container start ID (image=…, name=…)" */
function line(event: Event, timeNano: bigint): string {
  const words = Object.entries(event.Actor.Attributes ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(", ");
  const time = formatRfc3339Nano(timeNano).replace(
    /(?:\.(\d+))?Z$/,
    (_, fraction: string | undefined) => `.${(fraction ?? "").padEnd(9, "0")}Z`,
  );
  return `${time} ${event.Type} ${event.Action} ${event.Actor.ID}${words === "" ? "" : ` (${words})`}`;
}

/** As docker writes it: with the older fields, which the newest API no longer sends. */
function jsonData(event: Event, timeNano: bigint): object {
  const { status, id, from } = olderFields(event);
  return { ...(status === "" ? {} : { status, id }), ...(from === "" ? {} : { from }), ...event, timeNano };
}

function olderFields({ Type, Action, Actor }: Event): Readonly<Record<"status" | "id" | "from", string>> {
  const has = Type === "container" || Type === "image";
  return {
    status: has ? Action : "",
    id: has ? Actor.ID : "",
    from: Type === "container" ? (Actor.Attributes?.["image"] ?? "") : "",
  };
}

/** The event for templates, with docker's names. As JSON it has the API's names. */
function templateData(event: Event, timeNano: bigint): object {
  const { Type, Action, Actor, scope, time } = event;
  const { status, id, from } = olderFields(event);
  const data = {
    Type,
    Action,
    Actor,
    Scope: scope ?? "",
    Time: time,
    TimeNano: timeNano,
    Status: status,
    ID: id,
    From: from,
  };
  return Object.defineProperty(data, "toJSON", { value: () => jsonData(event, timeNano) });
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const client = await connect(context);
  const format = flags.string("format");
  const template = format === "" || format === "json" ? undefined : parseTemplate(format);
  const events = client.lines("GET", `${readableApi}/events`, {
    query: {
      since: timestampQuery(flags.string("since"), ""),
      until: timestampQuery(flags.string("until"), ""),
      filters: filtersQuery(flags.list("filter")),
    },
  });
  for await (const text of events) {
    const event = withSortedAttributes(parseEvent(text));
    const timeNano = nanosecondsOf(text);
    if (format === "json") {
      stdout.write(`${toJson(jsonData(event, timeNano))}\n`);
      continue;
    }
    const said = template === undefined ? line(event, timeNano) : template.execute(templateData(event, timeNano));
    stdout.write(`${said}\n`);
  }
  return 0;
}
