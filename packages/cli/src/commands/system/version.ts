import { apiVersion, messageOf, programVersion } from "@fathom/base";
import { Client } from "@fathom/client";
import type { CommandContext } from "../../grammar/command.ts";
import { parseTemplate } from "@fathom/template";

interface ServerVersion {
  readonly Version: string;
  readonly ApiVersion: string;
  readonly MinAPIVersion: string;
  readonly GitCommit: string;
  readonly Os: string;
  readonly Arch: string;
  readonly KernelVersion: string;
  readonly Components?: readonly {
    readonly Name: string;
    readonly Version: string;
    readonly Details?: Readonly<Record<string, string>>;
  }[];
}

function rows(title: string, pairs: readonly (readonly [string, string])[]): string {
  return `${title}\n${pairs.map(([key, value]) => ` ${`${key}:`.padEnd(18)}${value}\n`).join("")}`;
}

/** Asks a running daemon. It does not start a daemon, because showing versions must change nothing. */
export async function run(context: CommandContext): Promise<number> {
  const { flags, global, stdout, stderr } = context;
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const own = {
    Name: "fathom",
    Version: programVersion,
    ApiVersion: apiVersion,
    Os: "linux",
    Arch: architecture,
    Runtime: `Bun ${Bun.version}`,
  };
  const client = new Client(global.address());
  let server: ServerVersion | undefined;
  let failure: unknown;
  try {
    server = await client.json<ServerVersion>("GET", "/version");
  } catch (error) {
    failure = error;
  }
  const format = flags.string("format");
  if (format !== "") {
    const data = { Client: own, Server: server ?? null };
    stdout.write(format === "json" ? `${JSON.stringify(data)}\n` : `${parseTemplate(format).execute(data)}\n`);
  } else {
    stdout.write(
      rows("Client: Fathom", [
        ["Version", own.Version],
        ["API version", own.ApiVersion],
        ["Runtime", own.Runtime],
        ["OS/Arch", `${own.Os}/${own.Arch}`],
      ]),
    );
    if (server !== undefined) {
      stdout.write(
        `\n${rows("Server: Fathom", [
          ["Version", server.Version],
          ["API version", `${server.ApiVersion} (minimum version ${server.MinAPIVersion})`],
          ["OS/Arch", `${server.Os}/${server.Arch}`],
          ["Kernel", server.KernelVersion],
        ])}`,
      );
    }
  }
  if (server !== undefined || format !== "") return 0;
  stderr.write(`${messageOf(failure)}\n`);
  return 1;
}
