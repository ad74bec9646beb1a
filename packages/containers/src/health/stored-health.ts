/** The health in a row or a description, also of a version that wrote it in Docker's form. */
import { DecodeError, exact, isObject, list, number, oneOf, orElse, text, type Decoder } from "@fathom/spec";
import type { Health, HealthResult } from "./health-check.ts";

const statuses = ["starting", "healthy", "unhealthy"] as const;

const present = exact<Health>({
  status: oneOf(statuses),
  failingStreak: number,
  results: list(exact<HealthResult>({ startedAt: text, endedAt: text, exitCode: number, output: text })),
});

interface OldResult {
  readonly Start: string;
  readonly End: string;
  readonly ExitCode: number;
  readonly Output: string;
}

/** The form of earlier versions. */
interface OldHealth {
  readonly Status: Health["status"] | "none";
  readonly FailingStreak: number;
  readonly Log: readonly OldResult[];
}

const old = exact<OldHealth>({
  Status: oneOf([...statuses, "none"]),
  FailingStreak: number,
  Log: orElse<OldResult[]>(list(exact<OldResult>({ Start: text, End: text, ExitCode: number, Output: text })), []),
});

/** A health value of the wrong form counts as no value, because the next check makes a new one. */
export const decodedHealth: Decoder<Health | undefined> = {
  zero: undefined,
  missing: "absent or null",
  decode(value, path) {
    try {
      return isObject(value) && "Status" in value ? today(old.decode(value, path)) : present.decode(value, path);
    } catch (error) {
      if (error instanceof DecodeError) return undefined;
      throw error;
    }
  },
};

function today({ Status, FailingStreak, Log }: OldHealth): Health | undefined {
  if (Status === "none") return undefined;
  const results = Log.map(({ Start, End, ExitCode, Output }) => ({
    startedAt: Start,
    endedAt: End,
    exitCode: ExitCode,
    output: Output,
  }));
  return { status: Status, failingStreak: FailingStreak, results };
}
