/** Pulls an image with the user's credentials, printing progress. Shared by pull, run and create. */
import type { Client } from "@fathom/client";
import { familiarString, isDigest, parseReference, tryParseReference, withDefaultTag } from "@fathom/spec";
import type { CommandContext, Output } from "../grammar/command.ts";
import { authHeader, credentialsFor } from "../config/credentials.ts";
import { printProgress, type ProgressMessage } from "../output/progress.ts";

export interface PullOptions {
  readonly platform: string;
  readonly quiet: boolean;
  readonly out: Output;
  readonly allTags?: boolean;
}

/** Not an id, nor something that can be neither. */
export function isImageName(image: string): boolean {
  return tryParseReference(image) !== undefined && !isDigest(image);
}

/** A name without tag and digest means :latest. What is no name stays as it is: the daemon's error says why. */
export function fullImageName(image: string): string {
  return isImageName(image) ? familiarString(withDefaultTag(parseReference(image))) : image;
}

export async function pullImage(
  client: Client,
  context: Pick<CommandContext, "global">,
  image: string,
  options: PullOptions,
): Promise<void> {
  const auth = await credentialsFor(image, context.global.configDirectory);
  const named = options.allTags === true ? image : fullImageName(image);
  const messages = client.messages<ProgressMessage>("POST", "/images/create", {
    query: { fromImage: named, platform: options.platform || undefined },
    headers: authHeader(auth),
  });
  await printProgress(messages, options.out, options.quiet);
}
