import { TarWriter } from "@fathom/archive";
import { closeSync, openSync } from "node:fs";
import { checkContextName, defaultContext, readContext, readTls, tlsFileNames } from "../../config/contexts.ts";
import type { CommandContext } from "../../grammar/command.ts";
import { writeAll } from "../../output/terminal.ts";
import { fileFailure } from "../../run-options/files.ts";

/** Docker's form: meta.json and tls/docker/*.pem in a tar archive. */
function archiveOf({ global }: CommandContext, name: string): Uint8Array {
  const isDefault = name === defaultContext;
  const data = isDefault
    ? { Name: name, Metadata: {}, Endpoints: { docker: { Host: global.defaultHost, SkipTLSVerify: false } } }
    : readContext(global.configDirectory, name);
  const chunks: Uint8Array[] = [];
  const tar = new TarWriter((chunk) => chunks.push(chunk));
  tar.file({ path: "meta.json", mode: 0o644 }, Buffer.from(JSON.stringify(data)));
  tar.entry({ kind: "directory", path: "tls/", mode: 0o700 });
  const files = Object.entries(isDefault ? {} : readTls(global.configDirectory, name));
  if (files.length > 0) tar.entry({ kind: "directory", path: "tls/docker/", mode: 0o700 });
  for (const [key, bytes] of files) tar.file({ path: `tls/docker/${tlsFileNames.get(key)}`, mode: 0o600 }, bytes);
  tar.finish();
  return Buffer.concat(chunks);
}

export async function run(context: CommandContext): Promise<number> {
  const { args, stdout, stderr } = context;
  const [name = "", file = `${name}.dockercontext`] = args;
  if (name !== defaultContext) checkContextName(name);
  const archive = archiveOf(context, name);
  if (file === "-") {
    if (stdout.isTerminal) throw new Error("cowardly refusing to export to a terminal, specify a file path");
    stdout.write(archive);
    return 0;
  }
  let fd: number;
  try {
    fd = openSync(file, "wx", 0o600);
  } catch (error) {
    throw fileFailure("open", file, error);
  }
  writeAll(fd, archive);
  closeSync(fd);
  stderr.write(`Written file ${JSON.stringify(file)}\n`);
  return 0;
}
