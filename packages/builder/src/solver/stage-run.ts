/** Runs the steps of one stage, one after another. */
import { formatRfc3339Nano } from "@fathom/base";
import { parsePlatform } from "@fathom/spec";
import { ConfigEditor, isMetadata } from "../config/apply.ts";
import type { BuildEvent } from "../contract.ts";
import { DockerfileError } from "../dockerfile/dockerfile-error.ts";
import type { Instruction, Stage } from "../dockerfile/instructions.ts";
import { parseInstructions } from "../dockerfile/parse.ts";
import { expandWord, type Environment } from "../dockerfile/words.ts";
import type { Build, HistoryStep, StageResult } from "./build-context.ts";
import { copyStep } from "./copy-step.ts";
import { runStep } from "./run-step.ts";
import { stageNamed } from "./graph.ts";
import { keyOf } from "./step-cache.ts";
import { shortKey, type StageState, type StepResult } from "./stage-state.ts";
import { Arguments } from "./variables.ts";
import { makeDirectoryStep } from "./directory-step.ts";

/** As BuildKit writes it; programs that read histories look for these words. */
const historyMark = "# buildkit";
const historyComment = "buildkit.dockerfile.v0";
export const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** @throws DockerfileError, StepFailed, EngineError */
export async function runStage(
  build: Build,
  index: number,
  stage: Stage,
  emit: (event: BuildEvent) => Promise<void>,
): Promise<StageResult> {
  const { file, request, parts } = build;
  const { escape } = file.directives;
  let number = build.firstStep(index);
  const announce = (instruction: Instruction | Stage["from"]): Promise<void> =>
    emit({ kind: "step", number: number++, total: build.totalSteps, text: instruction.source.original });
  await announce(stage.from);
  const base = await located(stage.from, () => openBase(build, index, stage, emit));
  const editor = new ConfigEditor(base.config, { checkSignal: parts.checkSignal, escape });
  if (!editor.environment.has("PATH")) editor.setVariable("PATH", defaultPath.slice("PATH=".length));
  const outer = new Map([...build.platformVariables, ...build.globals.values]);
  const state: StageState = {
    build,
    index,
    editor,
    arguments: new Arguments(request.arguments, outer, build.usedArguments),
    key: base.key,
    top: base.top,
    emit,
  };
  await emit({ kind: "done", id: shortKey(state.key) });
  const history: HistoryStep[] = [...base.history];
  let author: string | undefined;
  const perform = async (instruction: Instruction): Promise<void> => {
    const { step, author: named } = await performStep(state, instruction);
    author = named ?? author;
    history.push(step);
  };
  const triggers = editor.takeTriggers();
  if (triggers.length > 0) {
    await emit({ kind: "triggers", count: triggers.length });
    for (const instruction of parseInstructions(triggers.join("\n"))) await perform(instruction);
  }
  for (const instruction of stage.instructions) {
    await announce(instruction);
    await perform(instruction);
    await emit({ kind: "done", id: shortKey(state.key) });
  }
  return { key: state.key, top: state.top, config: editor.config(), base: base.image, author, history };
}

/** Adds the place of the instruction to an error of the Dockerfile that has none. */
async function located<T>({ source }: Pick<Instruction, "source">, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof DockerfileError && error.place === undefined)
      throw new DockerfileError(error.reason, source.place);
    throw error;
  }
}

interface Base extends Pick<StageResult, "key" | "top" | "config" | "history"> {
  readonly image: StageResult["base"];
}

async function openBase(
  build: Build,
  index: number,
  { from }: Stage,
  emit: (event: BuildEvent) => Promise<void>,
): Promise<Base> {
  const environment = new Map([...build.platformVariables, ...build.globals.values]);
  const name = expandWord(from.image, { environment, escape: build.file.directives.escape });
  if (name === "") throw new DockerfileError(`base name (${from.image}) should not be blank`);
  const stage = /^\d+$/.test(name) ? undefined : stageNamed(build.file, name, index);
  if (stage !== undefined) {
    const { key, top, config, base, history } = await build.stage(stage);
    return { key, top, config, image: base, history };
  }
  if (name === "scratch") return { key: keyOf("scratch"), top: undefined, config: {}, image: undefined, history: [] };
  const platform = from.platform === undefined ? "" : expandWord(from.platform, { environment });
  const image = await build.image(name, platform === "" ? build.request.platform : parsePlatform(platform), emit);
  return {
    key: keyOf("image", image.id),
    top: image.topLayer,
    config: image.config.config ?? {},
    image,
    history: [],
  };
}

interface Performed {
  readonly step: HistoryStep;
  readonly author?: string;
}

async function performStep(state: StageState, instruction: Instruction): Promise<Performed> {
  state.build.signal.throwIfAborted();
  return located(instruction, async () => {
    const { editor, build } = state;
    const variables = state.arguments.with(editor.environment);
    const text = instruction.source.original;
    switch (instruction.kind) {
      case "from":
        throw new DockerfileError("FROM isn't allowed as an ONBUILD trigger");
      case "arg":
        state.arguments.declare(instruction, editor.environment, build.file.directives.escape);
        return unchanged(build, text);
      case "maintainer":
        return { ...unchanged(build, `MAINTAINER ${instruction.value}`), author: instruction.value };
      case "run":
        return filesChanged(state, await runStep(state, instruction));
      case "copy":
      case "add":
        return filesChanged(state, await copyStep(state, instruction, variables));
      case "workdir": {
        editor.apply(instruction, variables);
        const made = await makeDirectoryStep(state, editor.workingDirectory);
        return made === undefined ? unchanged(build, `WORKDIR ${editor.workingDirectory}`) : filesChanged(state, made);
      }
      default:
        if (isMetadata(instruction)) editor.apply(instruction, variables);
        return unchanged(build, expandedText(text, instruction, variables));
    }
  });
}

/** What the history shows: the values, where they are short. */
function expandedText(text: string, instruction: Instruction, environment: Environment): string {
  if (instruction.kind !== "env" && instruction.kind !== "label") return text;
  const words = instruction.pairs.map(
    ([name, value]) => `${expandWord(name, { environment })}=${expandWord(value, { environment })}`,
  );
  return `${instruction.kind.toUpperCase()} ${words.join(" ")}`;
}

function unchanged({ parts }: Build, text: string): Performed {
  const created = formatRfc3339Nano(parts.clock.nowNs());
  return { step: { created, created_by: text, comment: historyComment, empty_layer: true } };
}

function filesChanged(state: StageState, { key, top, createdAt, createdBy }: StepResult): Performed {
  const empty = top === state.top;
  state.key = key;
  state.top = top;
  return {
    step: {
      created: createdAt,
      created_by: `${createdBy} ${historyMark}`,
      comment: historyComment,
      ...(empty ? { empty_layer: true } : {}),
    },
  };
}
