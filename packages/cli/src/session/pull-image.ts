/** Pulls an image with the user's credentials, printing progress. Shared by pull, run and create. */
import type { Client } from "@fathom/client";
import type { CommandContext, Output } from "../grammar/command.ts";
import { authHeader, credentialsFor } from "./credentials.ts";
import { printProgress, type ProgressMessage } from "../output/progress.ts";

export interface PullOptions {
  readonly platform: string;
  readonly quiet: boolean;
  readonly out: Output;
  readonly allTags?: boolean;
}

export async function pullImage(
  client: Client,
  context: Pick<CommandContext, "global">,
  image: string,
  options: PullOptions,
): Promise<void> {
  const auth = await credentialsFor(image, context.global.configDirectory);
  // A reference without tag and digest means :latest, except with --all-tags.
  const named = /@|:[^/]+$/.test(image) || options.allTags === true ? image : `${image}:latest`;
  const messages = client.messages<ProgressMessage>("POST", "/images/create", {
    query: { fromImage: named, platform: options.platform || undefined },
    headers: authHeader(auth),
  });
  await printProgress(messages, options.out, options.quiet);
}
