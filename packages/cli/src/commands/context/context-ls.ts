import { messageOf } from "@fathom/base";
import { defaultContext, listContexts, readContext } from "../../config/contexts.ts";
import type { CommandContext } from "../../grammar/command.ts";
import { ellipsis } from "../../output/format.ts";
import { formatList } from "../../output/list-printer.ts";

interface Row {
  readonly Name: string;
  readonly Description: string;
  readonly DockerEndpoint: string;
  readonly Error: string;
}

const headings = {
  Name: "NAME",
  Description: "DESCRIPTION",
  DockerEndpoint: "DOCKER ENDPOINT",
  Error: "ERROR",
  Current: "",
} as const;

function rowsOf({ global }: CommandContext, host: string): readonly Row[] {
  const rows: Row[] = listContexts(global.configDirectory).map(({ Name, Metadata, Endpoints }) => ({
    Name,
    Description: typeof Metadata["Description"] === "string" ? Metadata["Description"] : "",
    DockerEndpoint: Endpoints["docker"]?.Host ?? "",
    Error: Endpoints["docker"] === undefined ? `cannot find docker endpoint in context ${JSON.stringify(Name)}` : "",
  }));
  rows.push({
    Name: defaultContext,
    Description: "Current DOCKER_HOST based configuration",
    DockerEndpoint: host,
    Error: "",
  });
  if (!rows.some(({ Name }) => Name === global.context))
    rows.push({ Name: global.context, Description: "", DockerEndpoint: "", Error: lost(global) });
  return rows.toSorted((a, b) => a.Name.localeCompare(b.Name, "en", { numeric: true }));
}

function lost({ configDirectory, context }: CommandContext["global"]): string {
  try {
    readContext(configDirectory, context);
    return "";
  } catch (error) {
    return messageOf(error);
  }
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, global, stdout, stderr, environment } = context;
  const format = flags.string("format");
  stdout.write(
    formatList(
      {
        items: rowsOf(context, global.defaultHost),
        fields: (row) => ({ ...row, Error: ellipsis(row.Error, 45), Current: row.Name === global.context }),
        headings,
        columns: [],
        quietField: "Name",
      },
      {
        format:
          (format === "" || format === "table") && !flags.bool("quiet")
            ? "table {{.Name}}{{if .Current}} *{{end}}\\t{{.Description}}\\t{{.DockerEndpoint}}\\t{{.Error}}"
            : format,
        quiet: flags.bool("quiet"),
      },
    ),
  );
  for (const variable of ["FATHOM_HOST", "DOCKER_HOST"].filter((one) => (environment[one] ?? "") !== "").slice(0, 1))
    stderr.write(
      `Warning: ${variable} environment variable overrides the active context. To use a context, either set the global --context flag, or unset ${variable} environment variable.\n`,
    );
  return 0;
}
