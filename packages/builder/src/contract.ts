/**
 * The builder: a Dockerfile and a context of files become an image.
 *
 * Terms: a *stage* begins with FROM. A *step* is one instruction of a stage. The *target* is the stage that becomes the image. The *context* is
 * the directory of files that a client sent. A *key* is the digest that names the files after a step in the cache.
 *
 * Errors: `DockerfileError` (an EngineError, invalid-argument) for a file that cannot be read; it has the place in the file. `StepFailed` when a
 * command ended with another code than 0. EngineError for all others. Abort: after a failed or cancelled build, the finished steps are in the
 * cache, and nothing else is left.
 */
import { EngineError, type Clock, type Logger } from "@fathom/base";
import type { Images, PullEvent, PullRequest } from "@fathom/images";
import type { ChainId, Digest, Platform, Reference } from "@fathom/spec";
import type { Layer, Lease, Store } from "@fathom/store";
import type { HostFiles, Sys } from "@fathom/sys";
import type { RunConfig } from "./config/apply.ts";

export { DockerfileError, type Place } from "./dockerfile/dockerfile-error.ts";

export class StepFailed extends EngineError {
  readonly exitCode: number;
  readonly command: readonly string[];
  /** Line of the instruction in the Dockerfile. */
  readonly line: number;

  constructor(command: readonly string[], exitCode: number, line: number) {
    super("invalid-argument", `The command '${command.join(" ")}' returned a non-zero code: ${exitCode}`);
    this.name = "StepFailed";
    this.exitCode = exitCode;
    this.command = command;
    this.line = line;
  }
}

/** What a RUN step starts. */
export interface RunStep {
  /** The files below it. */
  readonly parent: ChainId | undefined;
  /** The image's configuration at this point: user, working directory, labels and similar values. */
  readonly config: RunConfig;
  readonly command: readonly string[];
  readonly environment: readonly string[];
  readonly network: "default" | "none" | "host";
  /** From the request, unchanged. */
  readonly settings: unknown;
  /** What a list of containers shows as the image. */
  readonly image: string;
  /** @param stream 1 is stdout, 2 is stderr */
  readonly output: (stream: number, bytes: Uint8Array) => void | Promise<void>;
  readonly started: (containerId: string) => void;
}

/** The command has ended. Disposing removes what is left of it. */
export interface RanStep extends AsyncDisposable {
  readonly exitCode: number;
  /** What it changed becomes a layer. */
  commit(lease: Lease): Promise<Layer>;
}

/** Runs commands with the isolation of ordinary containers. */
export interface StepRunner {
  /** After an abort the command is killed, and nothing is left. @throws EngineError when the command could not be started */
  run(step: RunStep, signal: AbortSignal): Promise<RanStep>;
  /** "app:staff" → numbers, with /etc/passwd and /etc/group of that root. @throws EngineError */
  owner(spec: string, rootFd: number): Promise<{ readonly uid: number; readonly gid: number }>;
}

export interface BuilderParts {
  readonly store: Store;
  readonly images: Images;
  readonly steps: StepRunner;
  readonly sys: Sys;
  readonly files: HostFiles;
  /** `/var/lib/fathom`; unfinished files are in its `tmp`, which each start removes. */
  readonly dataRoot: string;
  readonly checkSignal: (name: string) => void;
  readonly logger: Logger;
  readonly clock: Clock;
}

export interface BuildRequest {
  /** A tar, maybe compressed. It may be hostile. */
  readonly context: AsyncIterable<Uint8Array>;
  /** Path of the Dockerfile in the context. */
  readonly dockerfile: string;
  /** undefined: the last stage. */
  readonly target: string | undefined;
  readonly arguments: ReadonlyMap<string, string>;
  readonly labels: Readonly<Record<string, string>>;
  readonly noCache: boolean;
  /** Ask the registry for base images also when they are stored. */
  readonly pull: boolean;
  readonly platform: Platform | undefined;
  readonly names: readonly Reference[];
  readonly credentials: (reference: Reference) => PullRequest["credentials"];
  /** Passed to the step runner. Plain data: it is a part of the keys. */
  readonly settings: unknown;
}

export type BuildEvent =
  /** `total` counts the steps of all stages that the target needs. */
  | { readonly kind: "step"; readonly number: number; readonly total: number; readonly text: string }
  /** The triggers of a base image run now. */
  | { readonly kind: "triggers"; readonly count: number }
  | { readonly kind: "cached" }
  | { readonly kind: "running"; readonly containerId: string }
  | { readonly kind: "removed"; readonly containerId: string }
  | { readonly kind: "output"; readonly stream: number; readonly bytes: Uint8Array }
  | { readonly kind: "pull"; readonly event: PullEvent }
  /** The step is done. `id` is a short name of the result. */
  | { readonly kind: "done"; readonly id: string }
  | { readonly kind: "unused-arguments"; readonly names: readonly string[] }
  | { readonly kind: "built"; readonly image: Digest }
  | { readonly kind: "tagged"; readonly reference: Reference };

/** The build waits for the result. */
export type EmitBuildEvent = (event: BuildEvent) => void | Promise<void>;

/** One entry of the cache. */
export interface CacheEntry {
  readonly key: string;
  /** The step: "RUN make". */
  readonly description: string;
  /** Bytes of its layer. */
  readonly size: number;
  /** RFC3339Nano. */
  readonly createdAt: string;
  readonly usedAt: string;
  readonly uses: number;
}

export interface CachePruned {
  readonly keys: readonly string[];
  readonly reclaimedBytes: number;
}

export interface Builder {
  build(request: BuildRequest, emit: EmitBuildEvent, signal: AbortSignal): Promise<Digest>;
  cache(): readonly CacheEntry[];
  /** Removes the entries that `wanted` selects. */
  prune(wanted: (entry: CacheEntry) => boolean): Promise<CachePruned>;
}
