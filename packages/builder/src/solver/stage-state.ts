/** The state between two steps of a stage. */
import { posix } from "node:path";
import { EngineError } from "@fathom/base";
import type { ChainId } from "@fathom/spec";
import type { ConfigEditor } from "../config/apply.ts";
import type { BuildEvent } from "../contract.ts";
import type { Build } from "./build-context.ts";
import type { Arguments } from "./variables.ts";

/** The files below the next step, and what the steps before it have set. */
export interface StageState {
  readonly build: Build;
  readonly index: number;
  readonly editor: ConfigEditor;
  readonly arguments: Arguments;
  key: string;
  top: ChainId | undefined;
  emit(event: BuildEvent): Promise<void>;
}

/** What a step did to the files. */
export interface StepResult {
  readonly key: string;
  readonly top: ChainId | undefined;
  readonly createdAt: string;
  readonly createdBy: string;
}

export function shortKey(key: string): string {
  return key.replace(/^sha256:/, "").slice(0, 12);
}

/** A path of the image, from the working directory; a slash at its end stays. */
export function imagePath(editor: ConfigEditor, path: string): string {
  const whole = posix.resolve(editor.workingDirectory, path === "" ? "." : path);
  return /\/\.?$/.test(path) && whole !== "/" ? `${whole}/` : whole;
}

export function missing(what: string): EngineError {
  return new EngineError("not-implemented", `${what} is not implemented yet by Fathom`);
}
