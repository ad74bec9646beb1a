import { expect, test } from "bun:test";
import { parseDockerfile } from "../dockerfile/parse.ts";
import { neededStages, stageNamed, targetStage } from "./graph.ts";

const file = parseDockerfile(
  [
    "FROM x AS base",
    "FROM base AS left",
    "FROM x AS right",
    "FROM x AS unused",
    "COPY --from=left /a /a",
    "FROM right AS last",
    "COPY --from=Left /a /a",
    "COPY --from=other/image:1 /a /a",
    "COPY --from=0 /a /a",
  ].join("\n"),
);
const image = (stage: number): string => file.stages[stage]!.from.image;

test("only the stages that the target needs, in the order of the file", () => {
  expect(neededStages(file, 4, image)).toEqual([0, 1, 2, 4]);
  expect(neededStages(file, 3, image)).toEqual([0, 1, 3]);
  expect(neededStages(file, 0, image)).toEqual([0]);
});

test("stages are found by name, in any case of letters, and by number; later stages are images", () => {
  expect(stageNamed(file, "LEFT", 4)).toBe(1);
  expect(stageNamed(file, "2", 4)).toBe(2);
  expect(stageNamed(file, "last", 4)).toBeUndefined();
  expect(() => stageNamed(file, "4", 4)).toThrow("invalid stage index");
  expect([targetStage(file, undefined), targetStage(file, "Right"), targetStage(file, "1")]).toEqual([4, 2, 1]);
  expect(() => targetStage(file, "nosuch")).toThrow('target stage "nosuch" could not be found');
});
