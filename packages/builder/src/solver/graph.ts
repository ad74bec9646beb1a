/** Which stages the target needs, and where the files of a COPY come from. */
import { DockerfileError, wrong } from "../dockerfile/dockerfile-error.ts";
import type { Dockerfile } from "../dockerfile/parse.ts";

/** The stage with this name or number before `before`; undefined for the name of an image. */
export function stageNamed(file: Dockerfile, name: string, before: number): number | undefined {
  const wanted = name.toLowerCase();
  const found = file.stages.slice(0, before).findLastIndex(({ from }) => from.name === wanted);
  if (found >= 0) return found;
  if (!/^\d+$/.test(name)) return undefined;
  const index = Number(name);
  if (index >= before) throw wrong(`invalid from flag value ${name}: invalid stage index`);
  return index;
}

/** @throws DockerfileError */
export function targetStage(file: Dockerfile, target: string | undefined): number {
  if (target === undefined || target === "") return file.stages.length - 1;
  const byName = file.stages.findIndex(({ from }) => from.name === target.toLowerCase());
  const index = byName >= 0 ? byName : /^\d+$/.test(target) ? Number(target) : -1;
  if (file.stages[index] === undefined)
    throw new DockerfileError(`target stage ${JSON.stringify(target)} could not be found`);
  return index;
}

/** In the order of the file; the target is the last. `expand` gives the image of a FROM. */
export function neededStages(file: Dockerfile, target: number, expand: (stage: number) => string): readonly number[] {
  const needed = new Set<number>();
  const visit = (index: number): void => {
    if (needed.has(index)) return;
    needed.add(index);
    const { instructions } = file.stages[index]!;
    const named = [
      expand(index),
      ...instructions.flatMap((step) => (step.kind === "copy" && step.from !== undefined ? [step.from] : [])),
    ];
    for (const [place, name] of named.entries()) {
      // FROM knows stages by name only.
      if (place === 0 && /^\d+$/.test(name)) continue;
      const stage = stageNamed(file, name, index);
      if (stage !== undefined) visit(stage);
    }
  };
  visit(target);
  return [...needed].toSorted((a, b) => a - b);
}
