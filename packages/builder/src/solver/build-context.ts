/** What the stages of one build share. */
import type { Semaphore } from "@fathom/base";
import type { LocalImage } from "@fathom/images";
import type { ChainId, Platform } from "@fathom/spec";
import type { Lease } from "@fathom/store";
import type { RunConfig } from "../config/apply.ts";
import type { BuildContext } from "../context/context.ts";
import type { BuildEvent, BuilderParts, BuildRequest } from "../contract.ts";
import type { Dockerfile } from "../dockerfile/parse.ts";
import type { StepCache } from "./step-cache.ts";
import type { Arguments } from "./variables.ts";

export interface HistoryStep {
  readonly created: string;
  readonly created_by: string;
  readonly comment: string;
  readonly empty_layer?: true;
}

/** A stage that is done. */
export interface StageResult {
  /** The key of its files. */
  readonly key: string;
  readonly top: ChainId | undefined;
  readonly config: RunConfig;
  readonly base: LocalImage | undefined;
  readonly author: string | undefined;
  /** Of its own steps. */
  readonly history: readonly HistoryStep[];
}

export interface Build {
  readonly parts: BuilderParts;
  readonly cache: StepCache;
  readonly request: BuildRequest;
  readonly file: Dockerfile;
  readonly context: BuildContext;
  readonly lease: Lease;
  /** Private, for downloads. */
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly globals: Arguments;
  readonly platformVariables: ReadonlyMap<string, string>;
  /** Names of given arguments that some ARG declared. */
  readonly usedArguments: Set<string>;
  /** How many commands may run at the same time. */
  readonly running: Semaphore;
  stage(index: number): Promise<StageResult>;
  image(name: string, platform: Platform | undefined, emit: (event: BuildEvent) => Promise<void>): Promise<LocalImage>;
  /** The number of a stage's first step. */
  firstStep(stage: number): number;
  readonly totalSteps: number;
}
