import { expect, test } from "bun:test";
import type { Health } from "./health-check.ts";
import { decodedHealth } from "./stored-health.ts";

const readHealth = (stored: unknown): Health | undefined => decodedHealth.decode(stored, "health");

const health: Health = {
  status: "unhealthy",
  failingStreak: 2,
  results: [{ startedAt: "2026-01-01T00:00:00Z", endedAt: "2026-01-01T00:00:01Z", exitCode: 1, output: "no" }],
};

test("a row of an earlier version means the same as one of this version", () => {
  const old = {
    Status: "unhealthy",
    FailingStreak: 2,
    Log: [{ Start: "2026-01-01T00:00:00Z", End: "2026-01-01T00:00:01Z", ExitCode: 1, Output: "no" }],
  };
  expect(readHealth(old)).toEqual(health);
  expect(readHealth(JSON.parse(JSON.stringify(health)))).toEqual(health);
  expect(readHealth({ Status: "none", FailingStreak: 0, Log: null })).toBeUndefined();
});
