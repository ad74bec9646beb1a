import { humanSize } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { confirmed } from "../../session/confirm.ts";
import { connect } from "../../session/session.ts";
import { pruneBuildCache, pruneContainers, pruneImages, pruneNetworks, pruneVolumes } from "./prune.ts";

/** Docker's question. Filters are shown when there are some. */
function question(all: boolean, volumes: boolean, filters: readonly string[]): string {
  const kinds = [
    "all stopped containers",
    "all networks not used by at least one container",
    ...(volumes ? ["all anonymous volumes not used by at least one container"] : []),
    all ? "all images without at least one container associated to them" : "all dangling images",
    all ? "all build cache" : "unused build cache",
  ];
  const lines = (items: readonly string[]): string => items.map((item) => `\n  - ${item}`).join("");
  const shown = filters.filter((filter) => /^(label!?|until)=/.test(filter)).toSorted();
  return (
    `WARNING! This will remove:${lines(kinds)}\n` +
    (shown.length === 0 ? "" : `\n  Items to be pruned will be filtered with:${lines(shown)}\n`)
  );
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const all = flags.bool("all");
  const volumes = flags.bool("volumes");
  const filters = flags.list("filter");
  if (volumes && filters.some((filter) => filter.startsWith("until=")))
    throw new Error('ERROR: The "until" filter is not supported with "--volumes"');
  await confirmed(context, question(all, volumes, filters));
  const client = await connect(context);
  const steps = [
    () => pruneContainers(client, filters),
    () => pruneNetworks(client, filters),
    ...(volumes ? [() => pruneVolumes(client, filters)] : []),
    () => pruneImages(client, filters, all),
    () => pruneBuildCache(client, filters, all),
  ];
  let bytes = 0;
  for (const step of steps) {
    const done = await step();
    bytes += done.bytes;
    stdout.write(done.text);
  }
  stdout.write(`Total reclaimed space: ${humanSize(bytes)}\n`);
  return 0;
}
