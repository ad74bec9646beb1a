import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { isAbsolute, join, relative, resolve } from "node:path";
import { EngineError } from "@fathom/base";
import { contextTar, type ContextFiles } from "../../build-context/context-tar.ts";
import type { CommandContext } from "../../grammar/command.ts";
import type { ParsedFlags } from "../../grammar/flags.ts";
import { printProgress, type ProgressMessage } from "../../output/progress.ts";
import { labelsOf, securityOptions } from "../../run-options/files.ts";
import { parseAddHost, parseBytes, parseUlimit } from "../../run-options/values.ts";
import { credentialsFor, type AuthConfig } from "../../config/credentials.ts";
import { connect } from "../../session/session.ts";

interface BuildMessage extends ProgressMessage {
  readonly errorDetail?: { readonly code?: number; readonly message?: string };
  readonly aux?: { readonly ID?: string };
}

/** A tar on stdin begins with this at its byte 257; a compressed one with the others at its beginning. */
const tarMagic = "ustar";
const compressed = ["\x1f\x8b", "\x28\xb5\x2f\xfd"];

/** The exit code is that of the command that failed. */
export async function run(context: CommandContext): Promise<number> {
  const { flags, args, stdout, stderr } = context;
  const source = await sourceOf(args[0]!, flags.string("file"));
  const client = await connect(context);
  const quiet = flags.bool("quiet");
  let id = "";
  let code = 0;
  const messages = client.messages<BuildMessage>("POST", "/build", {
    query: queryOf(flags, source.dockerfile, context.environment),
    stream: source.tar,
    headers: await registryHeader(source.text, context.global.configDirectory),
  });
  const shown = async function* (): AsyncGenerator<ProgressMessage> {
    for await (const message of messages) {
      id = message.aux?.ID ?? id;
      code = message.errorDetail?.code ?? code;
      if (message.aux !== undefined) continue;
      if (quiet && message.stream !== undefined) id = message.stream.trim();
      yield message;
    }
  };
  try {
    await printProgress(shown(), stdout, quiet);
  } catch (error) {
    if (code === 0 || !(error instanceof EngineError)) throw error;
    stderr.write(`${error.message}\n`);
    return code;
  }
  if (quiet) stdout.write(`${id}\n`);
  if (flags.string("iidfile") !== "") writeFileSync(flags.string("iidfile"), id);
  return 0;
}

interface Source {
  readonly tar: AsyncIterable<Uint8Array>;
  readonly dockerfile: string;
  /** The Dockerfile; "" when it is inside an archive. */
  readonly text: string;
}

async function sourceOf(path: string, file: string): Promise<Source> {
  if (/^(https?:\/\/|git@|git:\/\/|ssh:\/\/|github\.com\/)/.test(path))
    throw new EngineError("not-implemented", `a build from ${path} is not implemented yet by Fathom: fetch it first`);
  if (path === "-" && file === "-")
    throw new EngineError(
      "invalid-argument",
      "invalid argument: can't use stdin for both build context and dockerfile",
    );
  if (path === "-") return fromInput(file);
  if (!existsSync(path))
    throw new EngineError("not-found", `unable to prepare context: path ${JSON.stringify(path)} not found`);
  if (!statSync(path).isDirectory())
    throw new EngineError("invalid-argument", `unable to prepare context: context must be a directory: ${path}`);
  const outside = `.dockerfile.${crypto.randomUUID().slice(0, 8)}`;
  if (file === "-") return source({ directory: path, dockerfile: outside, content: await Bun.stdin.text() });
  const place = resolve(file === "" ? join(path, "Dockerfile") : file);
  if (!existsSync(place))
    throw new EngineError(
      "not-found",
      `unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat ${place}: no such file or directory`,
    );
  const inside = relative(resolve(path), place);
  const content = readFileSync(place, "utf8");
  return inside.startsWith("..") || isAbsolute(inside)
    ? source({ directory: path, dockerfile: outside, content })
    : { ...source({ directory: path, dockerfile: inside, content: undefined }), text: content };
}

function source(files: ContextFiles): Source {
  return { tar: contextTar(files), dockerfile: files.dockerfile, text: files.content ?? "" };
}

/** An archive, or a Dockerfile alone. */
async function fromInput(file: string): Promise<Source> {
  const reader = Bun.stdin.stream().getReader();
  const head: Uint8Array[] = [];
  let length = 0;
  while (length < 512) {
    const { done, value } = await reader.read();
    if (done || value === undefined) break;
    head.push(value);
    length += value.length;
  }
  const begin = Buffer.concat(head);
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    yield begin;
    for (let part = await reader.read(); part.value !== undefined; part = await reader.read()) yield part.value;
  };
  const latin = begin.toString("latin1");
  if (latin.slice(257, 262) === tarMagic || compressed.some((magic) => latin.startsWith(magic)))
    return { tar: rest(), dockerfile: file === "" ? "Dockerfile" : file, text: "" };
  const parts: Uint8Array[] = [];
  for await (const part of rest()) parts.push(part);
  return source({ directory: undefined, dockerfile: "Dockerfile", content: Buffer.concat(parts).toString("utf8") });
}

function queryOf(
  flags: ParsedFlags,
  dockerfile: string,
  environment: CommandContext["environment"],
): Record<string, string | number | boolean | readonly string[] | undefined> {
  const bytes = (name: string): number | undefined =>
    flags.string(name) === "" ? undefined : parseBytes(flags.string(name));
  const text = (name: string): string | undefined => flags.string(name) || undefined;
  const json = (value: object): string | undefined =>
    Object.keys(value).length === 0 ? undefined : JSON.stringify(value);
  const buildArguments = Object.fromEntries(
    flags.list("build-arg").flatMap((given) => {
      const equals = given.indexOf("=");
      if (equals >= 0) return [[given.slice(0, equals), given.slice(equals + 1)]];
      const value = environment[given];
      return value === undefined ? [] : [[given, value]];
    }),
  );
  return {
    dockerfile,
    t: flags.list("tag"),
    target: text("target"),
    buildargs: json(buildArguments),
    labels: json(labelsOf([], flags.list("label"))),
    nocache: flags.bool("no-cache") ? 1 : undefined,
    pull: flags.bool("pull") ? 1 : undefined,
    q: flags.bool("quiet") ? 1 : undefined,
    rm: 1,
    platform: text("platform"),
    networkmode: text("network"),
    extrahosts: json(flags.list("add-host").map(parseAddHost)),
    shmsize: bytes("shm-size"),
    memory: bytes("memory"),
    memswap: bytes("memory-swap"),
    cpushares: flags.int("cpu-shares") || undefined,
    cpuperiod: flags.int("cpu-period") || undefined,
    cpuquota: flags.int("cpu-quota") || undefined,
    cpusetcpus: text("cpuset-cpus"),
    cpusetmems: text("cpuset-mems"),
    cgroupparent: text("cgroup-parent"),
    ulimits: json(flags.list("ulimit").map(parseUlimit)),
    cachefrom: json(flags.list("cache-from")),
    securityopt: json(securityOptions(flags.list("security-opt"))),
  };
}

/** Credentials for the images that the file names. */
async function registryHeader(dockerfile: string, configDirectory: string): Promise<Record<string, string>> {
  const images = [...dockerfile.matchAll(/(?:^\s*FROM\s+(?:--\S+\s+)*|--from=)([^\s$]+)/gim)].map(([, name]) => name!);
  const found: Record<string, AuthConfig> = {};
  for (const image of new Set(images)) {
    const auth = await credentialsFor(image, configDirectory);
    if (auth !== undefined) found[auth.serveraddress] = auth;
  }
  if (Object.keys(found).length === 0) return {};
  return { "X-Registry-Config": Buffer.from(JSON.stringify(found)).toString("base64url") };
}
