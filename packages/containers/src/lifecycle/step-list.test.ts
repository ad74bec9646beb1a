import { describe, expect, test } from "bun:test";
import { launchStages, type LaunchStage } from "@fathom/runtime";
import { startSteps } from "./verbs/start-steps.ts";
import { StepList, type Step } from "./step-list.ts";

interface Given {
  readonly log: string[];
  /** The step that fails, by the name of what it makes. */
  readonly fails?: string;
}

/** A step that records what happens to it. */
function noting<Key extends string>(
  makes: Key,
  stage: LaunchStage,
  waits: boolean,
): Step<LaunchStage, Given, Key, string> {
  const act = ({ log, fails }: Given): string => {
    log.push(`run ${makes}`);
    if (fails === makes) throw new Error(`${makes} does not work`);
    return makes;
  };
  return {
    stage,
    makes,
    run: waits ? async (made) => act(made) : act,
    undo: (made) => void made.log.push(`undo ${makes} ${made[makes] === undefined ? "half made" : "made"}`),
    end: ({ log }) => void log.push(`end ${makes}`),
    words: () => `made ${makes}`,
  };
}

const steps = StepList.of<LaunchStage, Given>()
  .add(noting("one", "root", false))
  .add(noting("two", "stem", true))
  .add(noting("three", "launch", false));

const failed: string[] = [];
const undoFailed = (stage: LaunchStage): void => void failed.push(stage);

describe("a list of steps", () => {
  test("runs them in order and ends them in reverse; each sees what earlier steps made", async () => {
    const log: string[] = [];
    const list = steps.add({ stage: "row", makes: "all", run: ({ one, two, three }) => [one, two, three] });
    const result = await list.run({ log }, { undoFailed });
    expect(result).toMatchObject({ kind: "done", made: { all: ["one", "two", "three"] } });
    expect(log).toEqual(["run one", "run two", "run three", "end three", "end two", "end one"]);
  });

  test.each([
    ["one", "root", ["run one", "undo one half made"]],
    ["two", "stem", ["run one", "run two", "undo two half made", "undo one made", "end one"]],
    [
      "three",
      "launch",
      [
        "run one",
        "run two",
        "run three",
        "undo three half made",
        "undo two made",
        "undo one made",
        "end two",
        "end one",
      ],
    ],
  ])("a failure of %s names its stage %s, and earlier steps are undone in reverse", async (fails, stage, expected) => {
    const log: string[] = [];
    const result = await steps.run({ log, fails }, { undoFailed });
    expect(result).toEqual({
      kind: "failed",
      stage: stage as LaunchStage,
      reason: new Error(`${fails} does not work`),
    });
    expect(log).toEqual(expected);
  });

  test("an undo that fails does not stop the others", async () => {
    const log: string[] = [];
    failed.length = 0;
    const list = StepList.of<LaunchStage, Given>()
      .add(noting("one", "root", false))
      .add({
        stage: "stem",
        makes: "stuck",
        run: () => undefined,
        undo: () => {
          throw new Error("stuck");
        },
      })
      .add({
        stage: "network",
        makes: "slow",
        run: () => undefined,
        undo: () => Promise.reject(new Error("slow")),
      })
      .add(noting("three", "launch", false));
    const result = await list.run({ log, fails: "three" }, { undoFailed });
    expect(result).toMatchObject({ kind: "failed", stage: "launch" });
    expect(log).toContain("undo one made");
    expect(failed).toEqual(["network", "stem"]);
  });

  test("waits only for steps that wait", async () => {
    const log: string[] = [];
    const list = StepList.of<LaunchStage, Given>()
      .add(noting("one", "root", false))
      .add(noting("two", "stem", false));
    const result = list.run({ log }, { undoFailed });
    expect(log).toEqual(["run one", "run two", "end two", "end one"]);
    expect(await result).toMatchObject({ kind: "done" });
  });

  test("makes words only for a caller that asks for them", async () => {
    let asked = 0;
    const list = StepList.of<LaunchStage, Given>().add({
      stage: "root",
      makes: "one",
      run: () => undefined,
      words: () => `asked ${++asked} times`,
    });
    await list.run({ log: [] }, { undoFailed, done: () => undefined });
    expect(asked).toBe(0);
    const said: string[] = [];
    await list.run({ log: [] }, { undoFailed, done: (words) => void said.push(words()) });
    expect(said).toEqual(["asked 1 times"]);
  });
});

test("the steps of a start have all stages, and nothing but stages", () => {
  expect([...new Set(startSteps.stages)].sort()).toEqual([...launchStages].sort());
});
