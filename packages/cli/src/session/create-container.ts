/** Creates a container from the flags of create and run; pulls the image when it is missing (or always). */
import { messageOf } from "@fathom/base";
import { DaemonError, type Client } from "@fathom/client";
import { closeSync, existsSync, openSync, rmSync, writeSync } from "node:fs";
import type { CommandContext } from "../grammar/command.ts";
import { CommandLineError } from "../grammar/plain-error.ts";
import { fullImageName, isImageName, pullImage } from "./pull-image.ts";
import { buildCreateRequest } from "../run-options/build.ts";
import { terminalSize } from "../output/terminal.ts";

export interface CreatedContainer {
  readonly id: string;
  readonly openStdin: boolean;
}

/**
 * @param detach `run -d`: no streams are attached
 * @throws DaemonError, and plain errors for flags that contradict each other
 */
export async function createContainer(
  client: Client,
  context: CommandContext,
  detach: boolean,
): Promise<CreatedContainer> {
  const { flags, stderr } = context;
  const [image] = context.args;
  const body = requestOf(context, detach);
  const platform = flags.string("platform");
  const policy = flags.string("pull");
  const idFile = openIdFile(flags.string("cidfile"));
  try {
    const pull = (): Promise<void> =>
      pullImage(client, context, image!, { platform, quiet: flags.bool("quiet"), out: stderr });
    const create = (): Promise<{ Id: string; Warnings: readonly string[] | null }> =>
      client.json("POST", "/containers/create", {
        query: { name: flags.string("name") || undefined, platform: platform || undefined },
        body,
      });
    if (policy === "always") await pull();
    let answer: Awaited<ReturnType<typeof create>>;
    try {
      answer = await create();
    } catch (error) {
      // Only a missing image is "not found" here, or one that exists only for another platform. An id cannot be pulled.
      const missing = error instanceof DaemonError && error.status === 404 && isImageName(image!);
      if (!missing || policy === "never" || policy === "always") throw error;
      if (!flags.bool("quiet")) stderr.write(`Unable to find image '${fullImageName(image!)}' locally\n`);
      await pull();
      answer = await create();
    }
    for (const warning of answer.Warnings ?? []) stderr.write(`WARNING: ${warning}\n`);
    idFile.write(answer.Id);
    return { id: answer.Id, openStdin: body.AttachStdin === true };
  } finally {
    idFile.close();
  }
}

/** @throws CommandLineError */
function requestOf(
  { flags, args, environment }: CommandContext,
  detach: boolean,
): ReturnType<typeof buildCreateRequest> {
  const [image, ...command] = args;
  const policy = flags.string("pull");
  try {
    if (!["always", "missing", "never", ""].includes(policy))
      throw new Error(`invalid pull option: '${policy}': must be one of "always", "missing" or "never"`);
    return buildCreateRequest({
      flags,
      image: image!,
      command,
      variables: environment,
      detach,
      consoleSize: terminalSize(),
    });
  } catch (error) {
    throw new CommandLineError(messageOf(error), { cause: error });
  }
}

/** The file for --cidfile. It is made before the container, so that an existing file is found early. It is removed when there is no id. */
function openIdFile(path: string): { write(id: string): void; close(): void } {
  if (path === "") return { write() {}, close() {} };
  if (existsSync(path))
    throw new Error(`container ID file found, make sure the other container isn't running or delete ${path}`);
  let fd: number;
  try {
    fd = openSync(path, "wx", 0o644);
  } catch (error) {
    throw new Error(`failed to create the container ID file: ${messageOf(error)}`, { cause: error });
  }
  let written = false;
  return {
    write(id) {
      writeSync(fd, id);
      written = true;
    },
    close() {
      closeSync(fd);
      if (!written) rmSync(path, { force: true });
    },
  };
}
