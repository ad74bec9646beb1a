/** Instructions of a Dockerfile as data. Texts are as they were written: variables are expanded when a build runs them. */
import type { ImageConfig } from "@fathom/spec";
import type { Heredoc } from "./heredoc.ts";
import type { RunMount } from "./run-mount.ts";
import type { Place } from "./dockerfile-error.ts";

export type Healthcheck = NonNullable<NonNullable<ImageConfig["config"]>["Healthcheck"]> & {
  readonly StartInterval?: number;
};

/** Words of the JSON form, or one line for a shell. */
export type CommandForm =
  | { readonly form: "exec"; readonly words: readonly string[] }
  | { readonly form: "shell"; readonly line: string; readonly heredocs: readonly Heredoc[] };

export type Pair = readonly [name: string, value: string];

export interface FromInstruction {
  readonly kind: "from";
  readonly image: string;
  /** In lower case. */
  readonly name: string | undefined;
  readonly platform: string | undefined;
}

export interface ArgInstruction {
  readonly kind: "arg";
  readonly arguments: readonly { readonly name: string; readonly value: string | undefined }[];
}

export interface PairsInstruction {
  readonly kind: "env" | "label";
  readonly pairs: readonly Pair[];
  /** `ENV NAME the rest`. */
  readonly oldForm: boolean;
}

export interface RunInstruction {
  readonly kind: "run";
  readonly command: CommandForm;
  readonly mounts: readonly RunMount[];
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
}

export interface CopyInstruction {
  readonly kind: "copy" | "add";
  readonly sources: readonly string[];
  /** Files with their content in the Dockerfile; their name is the file's name. */
  readonly inline: readonly Heredoc[];
  readonly destination: string;
  readonly from: string | undefined;
  readonly owner: string | undefined;
  readonly mode: string | undefined;
  readonly link: boolean;
  readonly parents: boolean;
  readonly excludes: readonly string[];
  readonly checksum: string | undefined;
  readonly keepGitDirectory: boolean;
  /** undefined: local archives of ADD are unpacked, and those of URLs are not. */
  readonly unpack: boolean | undefined;
}

export type InstructionBody =
  | FromInstruction
  | ArgInstruction
  | PairsInstruction
  | RunInstruction
  | CopyInstruction
  | { readonly kind: "cmd" | "entrypoint"; readonly command: CommandForm | undefined }
  | { readonly kind: "workdir"; readonly value: string }
  | { readonly kind: "user"; readonly value: string }
  | { readonly kind: "stopsignal"; readonly value: string }
  | { readonly kind: "maintainer"; readonly value: string }
  | { readonly kind: "expose"; readonly ports: readonly string[] }
  | { readonly kind: "volume"; readonly paths: readonly string[] }
  | { readonly kind: "shell"; readonly words: readonly string[] }
  | { readonly kind: "onbuild"; readonly trigger: string }
  | { readonly kind: "healthcheck"; readonly check: Healthcheck };

export interface InstructionSource {
  readonly place: Place;
  readonly endLine: number;
  /** As a step shows it: "COPY a b". */
  readonly original: string;
}

export type Instruction = InstructionBody & { readonly source: InstructionSource };

export interface Stage {
  readonly from: FromInstruction & { readonly source: InstructionSource };
  readonly instructions: readonly Instruction[];
}
