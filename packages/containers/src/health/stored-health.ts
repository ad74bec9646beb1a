/** The health in a row or a description, also of a version that wrote it in Docker's form. */
import type { Health } from "./health-check.ts";

/** The form of earlier versions. */
interface OldHealth {
  readonly Status: Health["status"] | "none";
  readonly FailingStreak: number;
  readonly Log:
    | readonly { readonly Start: string; readonly End: string; readonly ExitCode: number; readonly Output: string }[]
    | null;
}

/** Only this package writes it, together with its record, so its members are trusted. */
export function readHealth(stored: unknown): Health | undefined {
  if (typeof stored !== "object" || stored === null) return undefined;
  if (!("Status" in stored)) return stored as Health;
  const { Status, FailingStreak, Log } = stored as OldHealth;
  if (Status === "none") return undefined;
  const results = (Log ?? []).map(({ Start, End, ExitCode, Output }) => ({
    startedAt: Start,
    endedAt: End,
    exitCode: ExitCode,
    output: Output,
  }));
  return { status: Status, failingStreak: FailingStreak, results };
}
