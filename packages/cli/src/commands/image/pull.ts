import { parseReference } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { pullImage } from "../../session/pull-image.ts";
import { connect } from "../../session/session.ts";

/** The repository with docker.io in front, as in the last line of `docker pull`. */
export function fullName(image: string): string {
  const slash = image.indexOf("/");
  const first = slash < 0 ? "" : image.slice(0, slash);
  const tagged = /@|:[^/]+$/.test(image) ? image : `${image}:latest`;
  if (first.includes(".") || first.includes(":") || first === "localhost") return tagged;
  return slash < 0 ? `docker.io/library/${tagged}` : `docker.io/${tagged}`;
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const client = await connect(context);
  const [image] = context.args;
  parseReference(image!);
  const allTags = flags.bool("all-tags");
  if (allTags && /@|:[^/]+$/.test(image!)) throw new Error("tag can't be used with --all-tags/-a");
  if (!flags.bool("quiet") && !allTags && !/@|:[^/]+$/.test(image!)) stdout.write("Using default tag: latest\n");
  await pullImage(client, context, image!, {
    platform: flags.string("platform"),
    quiet: flags.bool("quiet"),
    out: stdout,
    allTags,
  });
  stdout.write(`${fullName(image!)}\n`);
  return 0;
}
