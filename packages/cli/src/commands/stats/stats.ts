import { isEngineError } from "@fathom/base";
import type { Client } from "@fathom/client";
import type { CommandContext } from "../../grammar/command.ts";
import { formatList, terminalWidth } from "../../output/list-printer.ts";
import { errorLine } from "../../session/each.ts";
import { filtersQuery } from "../../session/filters.ts";
import { connect } from "../../session/session.ts";
import { statsColumns, statsFields, statsHeadings } from "./figures.ts";
import { WatchedContainers } from "./watched.ts";

const everyMs = 500;

interface ContainerEvent {
  readonly Action?: string;
  readonly Actor?: { readonly ID?: string };
}

/** Docker's name for a container that nobody named on the command line. */
const short = (id: string): string => id.slice(0, 12);

/** Adds the containers that start, removes those that end, until the daemon ends. */
async function follow(client: Client, watched: WatchedContainers, all: boolean): Promise<void> {
  const events = client.messages<ContainerEvent>("GET", "/events", {
    query: { filters: filtersQuery(["type=container"]) },
  });
  for await (const { Action = "", Actor } of events) {
    const id = Actor?.ID ?? "";
    if (id === "") continue;
    if (Action === "start" || (all && Action === "create")) watched.add(short(id));
    if (Action === "destroy" || (!all && Action === "die")) watched.remove(short(id));
  }
}

/** A terminal gets the table again and again in the same place, without flicker. Elsewhere the tables follow each other. */
function frame(text: string, isTerminal: boolean): string {
  if (!isTerminal) return text;
  const lines = text.split("\n").map((line) => `${line}\x1b[K\n`);
  return `\x1b[H${lines.join("")}\x1b[J`;
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, args, stdout, stderr } = context;
  const stream = !flags.bool("no-stream");
  const all = flags.bool("all");
  const client = await connect(context);
  const watched = new WatchedContainers(client, stream);
  let ended: Promise<void> | undefined;
  if (args.length === 0) {
    // The events come first: a container that starts meanwhile is seen twice rather than never.
    if (stream) ended = follow(client, watched, all);
    // It is awaited below; it may fail before.
    ended?.catch(() => undefined);
    const running = await client.list<{ Id: string }>("GET", "/containers/json", {
      query: { all: all ? 1 : undefined },
    });
    for (const { Id } of running) watched.add(short(Id));
  } else for (const name of new Set(args)) watched.add(name);
  await watched.ready();
  if (args.length > 0) {
    const errors = watched.rows().flatMap(({ error }) => (error === undefined ? [] : [errorLine(error)]));
    if (errors.length > 0) {
      stderr.write(`${errors.join("\n")}\n`);
      return 1;
    }
  }
  const whole = flags.bool("no-trunc");
  const text = (): string =>
    formatList(
      {
        items: watched.rows(),
        fields: ({ container, sample }) => statsFields(container, sample, whole),
        headings: statsHeadings,
        columns: statsColumns,
        quietField: "ID",
      },
      { format: flags.string("format"), quiet: false, width: terminalWidth(context) },
    );
  if (!stream) {
    stdout.write(text());
    return 0;
  }
  if (stdout.isTerminal) stdout.write("\x1b[2J");
  let over = false;
  let failure: unknown;
  ended?.then(
    () => (over = true),
    (error: unknown) => {
      over = true;
      failure = error;
    },
  );
  while (!over) {
    stdout.write(frame(text(), stdout.isTerminal));
    // All named containers have been removed, or the daemon has ended.
    if (ended === undefined && watched.rows().every(({ error }) => error !== undefined)) break;
    await Bun.sleep(everyMs);
  }
  if (failure !== undefined && !isEngineError(failure, "data-loss")) throw failure;
  return 0;
}
