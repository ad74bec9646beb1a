/** A Dockerfile as stages. */
import { DockerfileError } from "./dockerfile-error.ts";
import type { ArgInstruction, Instruction, InstructionBody, InstructionSource, Stage } from "./instructions.ts";
import { parseInstruction } from "./parse-instruction.ts";
import { readSource, type Directives, type SourceInstruction } from "./source-lines.ts";
import type { Escape } from "./words.ts";

export interface Dockerfile {
  readonly directives: Directives;
  /** ARG before the first FROM. */
  readonly globalArguments: readonly (ArgInstruction & { readonly source: InstructionSource })[];
  readonly stages: readonly Stage[];
}

/** @throws DockerfileError with the place */
export function parseDockerfile(text: string): Dockerfile {
  const { directives, instructions } = readSource(text);
  if (instructions.length === 0) throw new DockerfileError("file with no instructions");
  const globalArguments: (ArgInstruction & { readonly source: InstructionSource })[] = [];
  const stages: { readonly from: Stage["from"]; readonly instructions: Instruction[] }[] = [];
  for (const source of instructions) {
    const instruction = located(source, directives.escape);
    const stage = stages.at(-1);
    if (instruction.kind === "from") stages.push({ from: instruction, instructions: [] });
    else if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.kind === "arg") globalArguments.push(instruction);
    else throw new DockerfileError("no build stage in current context", source.place);
  }
  if (stages.length === 0) throw new DockerfileError("no build stage in current context");
  return { directives, globalArguments, stages };
}

/** Instructions without stages: `commit --change`, and the triggers of ONBUILD. @throws DockerfileError */
export function parseInstructions(text: string): readonly (Instruction & { readonly keyword: string })[] {
  const { directives, instructions } = readSource(text);
  return instructions.map((source) => ({ ...located(source, directives.escape), keyword: source.keyword }));
}

/** The names of the instructions, without a look at the rest. @throws DockerfileError */
export function instructionKeywords(text: string): readonly string[] {
  return readSource(text).instructions.map(({ keyword }) => keyword);
}

function located(source: SourceInstruction, escape: Escape): Instruction {
  const { place, endLine, original } = source;
  return { ...atPlace(source, () => parseInstruction(source, escape)), source: { place, endLine, original } };
}

/** Adds the place to an error that has none. */
export function atPlace<T extends InstructionBody>({ place }: Pick<SourceInstruction, "place">, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof DockerfileError && error.place === undefined) throw new DockerfileError(error.reason, place);
    throw error;
  }
}
