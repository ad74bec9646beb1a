/** A verb that failed, with the step that failed. For a start and an exec it is a `LaunchFailure`. */
import { EngineError, firstFailure, isEngineError, messageOf, type ErrorCode } from "@fathom/base";
import { isSysError } from "@fathom/sys";

/** Code and message are those of the cause, the step's own error: a user reads them unchanged. */
export class StepFailure extends EngineError {
  readonly step: string;

  private constructor(step: string, code: ErrorCode, reason: unknown) {
    super(code, messageOf(reason), { cause: reason });
    this.step = step;
  }

  /** An error that already names its step stays unchanged. */
  static of(step: string, reason: unknown): StepFailure {
    return reason instanceof StepFailure ? reason : new StepFailure(step, codeOf(firstFailure(reason)), reason);
  }
}

function codeOf(error: unknown): ErrorCode {
  if (isEngineError(error)) return error.code;
  // Only names that a client or an image gave can be too long for the kernel, or go round in circles.
  return isSysError(error, "ENAMETOOLONG", "ELOOP") ? "invalid-argument" : "internal";
}

/** @throws StepFailure */
export async function inStep<T>(step: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw StepFailure.of(step, error);
  }
}
