import { DaemonError, type Client } from "@fathom/client";
import { decodeDocument, exact, text, wholeNumber } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { saveBody } from "../../session/download.ts";
import { connect } from "../../session/session.ts";
import { CopyCounter } from "./counter.ts";
import { checkTarget, localSource, localTarget } from "./local-places.ts";
import { pack } from "./pack.ts";
import {
  absolute,
  followed,
  linkTarget,
  planCopy,
  splitArgument,
  splitPath,
  type CopyPlace,
  type CopyPlan,
} from "./paths.ts";
import { Unpacker } from "./unpack.ts";

/** Bits of Go's os.FileMode. */
const goMode = { directory: 0x8000_0000, symlink: 0x800_0000, device: 0x400_0000, irregular: 0x8_0000 };

interface PathStat {
  readonly size: number;
  readonly mode: number;
  readonly linkTarget: string;
}

const pathStat = exact<PathStat>({ size: wholeNumber, mode: wholeNumber, linkTarget: text });

const has = (stat: PathStat, bit: number): boolean => (stat.mode & bit) !== 0;

function archivePath(container: string): string {
  return `/containers/${encodeURIComponent(container)}/archive`;
}

function statIn(headers: ReadonlyMap<string, string>): PathStat {
  const header = Buffer.from(headers.get("x-docker-container-path-stat") ?? "", "base64").toString();
  return decodeDocument(pathStat, JSON.parse(header), "the daemon's description of the path");
}

/** undefined when the daemon finds nothing there. */
async function statOf(client: Client, container: string, path: string): Promise<PathStat | undefined> {
  try {
    const { headers, body } = await client.request("HEAD", archivePath(container), { query: { path } });
    for await (const _ of body); // The connection can be used again after the end of the answer.
    return statIn(headers);
  } catch (error) {
    if (error instanceof DaemonError) return undefined;
    throw error;
  }
}

async function copyOut(context: CommandContext, container: string, given: string, to: string): Promise<void> {
  const target = to === "-" ? to : absolute(to);
  checkTarget(target);
  const client = await connect(context);
  let source = { path: given, rebase: "" };
  if (context.flags.bool("follow-link")) {
    const stat = await statOf(client, container, given);
    if (stat !== undefined && has(stat, goMode.symlink)) source = followed(given, linkTarget(given, stat.linkTarget));
  }
  const { headers, body } = await client.request("GET", archivePath(container), { query: { path: source.path } });
  if (target === "-") return saveBody(body, "");
  const from: CopyPlace = { ...source, exists: true, isDirectory: has(statIn(headers), goMode.directory) };
  const counter = new CopyCounter(context.stderr, "Copying from container - ", isQuiet(context));
  const unpacker = new Unpacker(planOut(from, localTarget(target)));
  try {
    for await (const chunk of counter.count(body)) unpacker.push(chunk);
    unpacker.finish();
  } finally {
    unpacker.close();
  }
  counter.done(target);
}

/** The archive has the name of the followed symlink's target; the copy has the name of the symlink. */
function planOut(source: CopyPlace, target: CopyPlace): CopyPlan {
  const plan = planCopy({ ...source, rebase: "" }, target);
  if (source.rebase === "" || plan.rename !== undefined) return plan;
  return { ...plan, rename: { from: splitPath(source.path).base, to: source.rebase } };
}

async function copyIn(context: CommandContext, from: string, container: string, path: string): Promise<void> {
  const { flags } = context;
  const client = await connect(context);
  const target = await containerTarget(client, container, path);
  const send = (folder: string, stream: AsyncIterable<Uint8Array>): Promise<number> =>
    client.send("PUT", archivePath(container), {
      query: {
        path: folder,
        noOverwriteDirNonDir: true,
        copyUIDGID: flags.bool("archive") ? true : undefined,
      },
      stream,
    });
  const place = `${container}:${target.path}`;
  const counter = new CopyCounter(context.stderr, "Copying to container - ", isQuiet(context));
  if (from === "-") {
    if (!target.isDirectory) throw new Error(`destination "${container}:${path}" must be a directory`);
    await send(target.path, Bun.stdin.stream());
  } else {
    const source = localSource(absolute(from), flags.bool("follow-link"));
    const { folder, rename } = planCopy(source, target);
    await send(folder, counter.count(pack(source, rename)));
  }
  counter.done(place);
}

/** @throws Error in docker's words when nothing can be copied there */
async function containerTarget(client: Client, container: string, path: string): Promise<CopyPlace> {
  let place = path;
  let stat = await statOf(client, container, path);
  if (stat !== undefined && has(stat, goMode.symlink)) {
    place = linkTarget(path, stat.linkTarget);
    stat = await statOf(client, container, place);
  }
  const wrong =
    stat === undefined
      ? ""
      : has(stat, goMode.device)
        ? "got a device"
        : has(stat, goMode.irregular)
          ? "got an irregular file"
          : "";
  if (wrong !== "")
    throw new Error(`destination "${container}:${path}" must be a directory or a regular file: ${wrong}`);
  // A path that cannot be looked at may still work: its folder can be there. The daemon's answer to the copy decides.
  return {
    path: place,
    exists: stat !== undefined,
    isDirectory: stat !== undefined && has(stat, goMode.directory),
    rebase: "",
  };
}

function isQuiet({ flags, stdout }: CommandContext): boolean {
  return flags.changed("quiet") ? flags.bool("quiet") : !stdout.isTerminal;
}

export async function run(context: CommandContext): Promise<number> {
  const [source = "", destination = ""] = context.args;
  if (source === "") throw new Error("source can not be empty");
  if (destination === "") throw new Error("destination can not be empty");
  const from = splitArgument(source);
  const to = splitArgument(destination);
  if (from.container !== "" && to.container !== "") throw new Error("copying between containers is not supported");
  if (from.container !== "") await copyOut(context, from.container, from.path, to.path);
  else if (to.container !== "") await copyIn(context, from.path, to.container, to.path);
  else throw new Error("must specify at least one container source");
  return 0;
}
