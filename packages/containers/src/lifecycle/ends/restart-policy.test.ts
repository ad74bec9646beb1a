import { describe, expect, test } from "bun:test";
import { decideRestart, restartsWithDaemon, type EndedRun } from "./restart-policy.ts";

const run: EndedRun = {
  policy: { kind: "always", maximumRetryCount: 0 },
  exitCode: 1,
  restartCount: 0,
  stoppedByUser: false,
  ranForMs: 5,
  previousDelayMs: 0,
};

describe("decideRestart", () => {
  test("the delay doubles up to a minute, and is short again after a long run", () => {
    const delays: number[] = [];
    let previousDelayMs = 0;
    for (let i = 0; i < 12; i++) {
      const decision = decideRestart({ ...run, previousDelayMs });
      if (decision.kind === "restart") delays.push((previousDelayMs = decision.delayMs));
    }
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
    expect(decideRestart({ ...run, previousDelayMs: 60000, ranForMs: 10_000 })).toEqual({
      kind: "restart",
      delayMs: 100,
    });
  });

  test("a stop by the user ends every policy", () => {
    for (const kind of ["always", "unless-stopped", "on-failure"] as const)
      expect(decideRestart({ ...run, policy: { kind, maximumRetryCount: 0 }, stoppedByUser: true }).kind).toBe("stay");
  });

  test("on-failure counts, and does not restart after code 0", () => {
    const policy = { kind: "on-failure", maximumRetryCount: 2 } as const;
    expect(decideRestart({ ...run, policy, restartCount: 1 }).kind).toBe("restart");
    expect(decideRestart({ ...run, policy, restartCount: 2 }).kind).toBe("stay");
    expect(decideRestart({ ...run, policy, exitCode: 0 }).kind).toBe("stay");
  });
});

test("a starting daemon restarts what the policy says", () => {
  const back = (kind: EndedRun["policy"]["kind"], more: Partial<EndedRun>): boolean =>
    restartsWithDaemon({ ...run, policy: { kind, maximumRetryCount: 2 }, ...more });
  expect(back("always", { stoppedByUser: true, exitCode: 0 })).toBe(true);
  expect(back("unless-stopped", { stoppedByUser: true })).toBe(false);
  expect(back("unless-stopped", { exitCode: 0 })).toBe(true);
  expect(back("on-failure", { exitCode: 0 })).toBe(false);
  expect(back("on-failure", {})).toBe(true);
  expect(back("on-failure", { stoppedByUser: true })).toBe(false);
  expect(back("on-failure", { restartCount: 2 })).toBe(false);
  expect(back("no", {})).toBe(false);
});
