/** COPY and ADD. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { utimes } from "node:fs/promises";
import { join } from "node:path";
import { EngineError, isEngineError, messageOf } from "@fathom/base";
import { openTree } from "../context/context.ts";
import { wrong } from "../dockerfile/dockerfile-error.ts";
import type { CopyInstruction } from "../dockerfile/instructions.ts";
import { expandWord, type Environment } from "../dockerfile/words.ts";
import { copiedEntries, digestEntry, readSource, type CopyRules, type ReadParts } from "../files/copied-entries.ts";
import { download, isGitSource, isUrl, urlFileName } from "../files/download.ts";
import { isArchive, writeArchive } from "../files/local-archive.ts";
import { findSources, type FoundSource, type SourceTree } from "../files/source-tree.ts";
import { directoryAt, fileAt, openDestination, writeEntries } from "../files/write-into.ts";
import type { Owner } from "@fathom/store";
import { stageNamed } from "./graph.ts";
import { layerStep } from "./layer-step.ts";
import { imagePath, missing, type StageState, type StepResult } from "./stage-state.ts";
import { keyOf } from "./step-cache.ts";

interface Source {
  readonly tree: SourceTree;
  readonly found: FoundSource;
  readonly archive: boolean;
}

/** @throws EngineError in Docker's words */
export async function copyStep(
  state: StageState,
  instruction: CopyInstruction,
  environment: Environment,
): Promise<StepResult> {
  refuseMissing(instruction);
  const { build, editor } = state;
  const { sys, files } = build.parts;
  const parts: ReadParts = { sys, files, signal: build.signal };
  const expand = (text: string): string => expandWord(text, { environment, escape: build.file.directives.escape });
  const name = instruction.kind.toUpperCase();
  const names = instruction.sources.map(expand);
  const wanted = expand(instruction.destination);
  const destination = imagePath(editor, wanted);
  using stack = new DisposableStack();
  const sources = await failing(name, () => openSources(state, parts, instruction, names, environment, stack));
  if (sources.length === 0) throw new EngineError("invalid-argument", `${name} failed: no source files were specified`);
  if (sources.length > 1 && !destination.endsWith("/") && destination !== "/")
    throw new EngineError(
      "invalid-argument",
      `When using ${name} with more than one source file, the destination must be a directory and end with a /`,
    );
  const mode = instruction.mode === undefined ? undefined : fileMode(expand(instruction.mode));
  const ownerText = instruction.owner === undefined ? "" : expand(instruction.owner);
  const owner = ownerText === "" ? undefined : await ownerOf(state, ownerText);
  const rules: CopyRules = { owner, mode };
  const hasher = new Bun.CryptoHasher("sha256");
  for (const { tree, found, archive } of sources) {
    hasher.update(JSON.stringify([found.directory, archive, found.directory ? "" : found.name]));
    using reading = readSource(parts, tree, found);
    for await (const entry of copiedEntries(reading, tree, found.directory ? undefined : found.name, rules))
      await digestEntry(hasher, entry);
  }
  const content = hasher.digest("hex");
  const key = keyOf(state.key, instruction.kind, content, destination, owner ?? null, mode ?? null);
  const from = instruction.from === undefined ? "" : `--from=${instruction.from} `;
  return await layerStep(state, key, `${name} ${from}${[...names, wanted].join(" ")}`, (rootFd) =>
    failing(name, async () => {
      for (const source of sources) await writeSource(parts, rootFd, source, destination, rules);
    }),
  );
}

function refuseMissing(instruction: CopyInstruction): void {
  if (instruction.parents) throw missing("--parents of COPY");
  if (instruction.excludes.length > 0) throw missing("--exclude");
  if (instruction.sources.some(isGitSource)) throw missing("ADD of a git repository");
}

async function failing<T>(name: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!isEngineError(error) || error.message.startsWith(`${name} failed`) || error.code === "not-implemented")
      throw error;
    throw new EngineError(error.code, `${name} failed: ${messageOf(error)}`, { cause: error });
  }
}

function fileMode(text: string): number {
  if (!/^[0-7]{1,4}$/.test(text))
    throw wrong(`invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`);
  return Number.parseInt(text, 8);
}

async function ownerOf({ build, top }: StageState, text: string): Promise<Owner> {
  const { store, sys, steps } = build.parts;
  const rootFd = store.snapshots.openChain(top);
  try {
    // As in Docker, a number alone is user and group.
    return await steps.owner(/^\d+$/.test(text) ? `${text}:${text}` : text, rootFd);
  } catch (error) {
    throw new EngineError(
      "invalid-argument",
      `unable to convert uid/gid chown string to host mapping: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  } finally {
    sys.close(rootFd);
  }
}

async function openSources(
  state: StageState,
  parts: ReadParts,
  instruction: CopyInstruction,
  names: readonly string[],
  environment: Environment,
  stack: DisposableStack,
): Promise<Source[]> {
  const { build } = state;
  const tree = await treeOf(state, instruction.from, environment, stack);
  const unpacks = instruction.kind === "add" && instruction.unpack !== false;
  const sources: Source[] = [];
  for (const name of names) {
    if (instruction.kind === "add" && isUrl(name)) {
      sources.push({ ...(await fetched(state, name, instruction, stack)), archive: false });
      continue;
    }
    for (const found of findSources(parts.sys, tree, name)) {
      let archive = false;
      if (unpacks && !found.directory) {
        using reading = readSource(parts, tree, found);
        await reading.next();
        archive = await isArchive(reading.content(), build.signal);
      }
      sources.push({ tree, found, archive });
    }
  }
  if (instruction.inline.length > 0) {
    const directory = mkdtempSync(join(build.directory, "inline-"));
    const inline = stack.use(openTree(parts.sys, directory, "download"));
    for (const { name, content, expand } of instruction.inline) {
      if (name.includes("/")) throw wrong(`invalid name of a heredoc's file: ${name}`);
      const text = expand ? expandWord(content, { environment, keepQuotes: true }) : content;
      writeFileSync(join(directory, name), text, { mode: 0o644 });
      sources.push({ tree: inline, found: { path: name, name, directory: false }, archive: false });
    }
  }
  return sources;
}

async function treeOf(
  { build, index, emit }: StageState,
  from: string | undefined,
  environment: Environment,
  stack: DisposableStack,
): Promise<SourceTree> {
  if (from === undefined) return build.context;
  const name = expandWord(from, { environment });
  const { store, sys } = build.parts;
  const stage = stageNamed(build.file, name, index);
  const top =
    stage !== undefined
      ? (await build.stage(stage)).top
      : (await build.image(name, build.request.platform, emit)).topLayer;
  const rootFd = store.snapshots.openChain(top);
  return stack.use<SourceTree>({ rootFd, kind: "image", [Symbol.dispose]: () => sys.close(rootFd) });
}

async function fetched(
  { build }: StageState,
  url: string,
  { checksum }: CopyInstruction,
  stack: DisposableStack,
): Promise<Pick<Source, "tree" | "found">> {
  const name = urlFileName(url);
  const directory = mkdtempSync(join(build.directory, "download-"));
  const { digest, mtimeNs } = await download(url, directory, name, build.signal);
  if (checksum !== undefined && checksum !== digest)
    throw new EngineError("data-loss", `digest mismatch ${digest}: ${checksum}`);
  const seconds = Number(mtimeNs / 1_000_000n) / 1000;
  await utimes(join(directory, name), seconds, seconds);
  const tree = stack.use(openTree(build.parts.sys, directory, "download"));
  return { tree, found: { path: name, name, directory: false } };
}

async function writeSource(
  parts: ReadParts,
  rootFd: number,
  { tree, found, archive }: Source,
  destination: string,
  rules: CopyRules,
): Promise<void> {
  const owner = rules.owner ?? { uid: 0, gid: 0 };
  using reading = readSource(parts, tree, found);
  if (archive) {
    const place = directoryAt(parts, rootFd, destination);
    using made = (await openDestination(parts, rootFd, place, owner)).writing;
    await made.finish();
    await reading.next();
    const whole = [place.base, ...place.made].filter((part) => part !== "").join("/");
    const { writing } = await openDestination(parts, rootFd, { base: whole, made: [] }, owner);
    using _ = writing;
    await writeArchive(writing, reading.content(), rules.owner, parts.signal);
    return;
  }
  const [place, name] = found.directory
    ? [directoryAt(parts, rootFd, destination), undefined]
    : fileAt(parts, rootFd, destination, found.name);
  const { writing, prefix } = await openDestination(parts, rootFd, place, owner);
  using _ = writing;
  await writeEntries(writing, prefix, copiedEntries(reading, tree, name, rules));
  await writing.finish();
}
