import { nameText, TarReader } from "@fathom/archive";
import { checkContextName, decodeContext, hasContext, tlsFileNames, writeContext } from "../../config/contexts.ts";
import type { CommandContext } from "../../grammar/command.ts";
import { openUserFile } from "../../run-options/files.ts";

/** Docker's limit. */
const maxBytes = 10 * 1024 * 1024;

/** The files of the archive by name. @throws EngineError, Error for something that is no exported context */
async function filesIn(stream: AsyncIterable<Uint8Array>): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>();
  let name: string | undefined;
  let pieces: Buffer[] = [];
  const reader = new TarReader(
    {
      entry: ({ kind, path }) => {
        name = kind === "file" ? nameText(path) : undefined;
        pieces = [];
        if (name !== undefined && name !== "meta.json" && !/^tls\/[^/\\]+\/[^/\\]+$/.test(name))
          throw new Error(`${name}: unexpected context file`);
      },
      data: (chunk) => void pieces.push(Buffer.from(chunk)),
      end: () => {
        if (name !== undefined) files.set(name, Buffer.concat(pieces));
      },
    },
    { maxTotalBytes: maxBytes },
  );
  for await (const chunk of stream) reader.push(chunk);
  reader.finish();
  return files;
}

export async function run({ args, global, stdout, stderr }: CommandContext): Promise<number> {
  const [name = "", file = ""] = args;
  const directory = global.configDirectory;
  checkContextName(name);
  if (hasContext(directory, name)) throw new Error(`context ${JSON.stringify(name)} already exists`);
  const files = await filesIn((file === "-" ? Bun.stdin : openUserFile(file)).stream());
  const meta = files.get("meta.json");
  if (meta === undefined) throw new Error("invalid context: no metadata found");
  const tls = [...tlsFileNames].flatMap(([key, own]) => {
    const bytes = files.get(`tls/docker/${own}`);
    return bytes === undefined ? [] : [[key, bytes] as const];
  });
  writeContext(directory, { ...decodeContext(meta.toString(), "meta.json"), Name: name }, Object.fromEntries(tls));
  stdout.write(`${name}\n`);
  stderr.write(`Successfully imported context ${JSON.stringify(name)}\n`);
  return 0;
}
