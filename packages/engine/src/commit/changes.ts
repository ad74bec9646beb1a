/**
 * `--change` of commit and import: Dockerfile instructions that change an image's configuration. Only instructions that need no build are
 * supported; the error for others names them.
 */
import { EngineError } from "@fathom/base";
import {
  ConfigEditor,
  DockerfileError,
  instructionKeywords,
  isMetadata,
  parseInstructions,
  type RunConfig,
} from "@fathom/builder";
import { parseSignal } from "@fathom/containers";
import { inWords } from "../words/refusal-words.ts";

export type { RunConfig };

const known = new Set("CMD ENTRYPOINT HEALTHCHECK ENV EXPOSE LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR".split(" "));

/** @throws invalid-argument "FROM is not a valid change command" and others, in Docker's words */
export function applyChanges(config: RunConfig, changes: readonly string[]): RunConfig {
  if (changes.length === 0) return config;
  try {
    return applied(config, changes.join("\n"));
  } catch (error) {
    // A change is not a line of a file.
    if (error instanceof DockerfileError) throw new EngineError(error.code, error.reason, { cause: error });
    throw error;
  }
}

function applied(config: RunConfig, text: string): RunConfig {
  const keywords = instructionKeywords(text);
  if (keywords.length === 0) throw new EngineError("invalid-argument", "file with no instructions");
  for (const keyword of keywords)
    if (!known.has(keyword.toUpperCase()))
      throw new EngineError("invalid-argument", `${keyword} is not a valid change command`);
  const editor = new ConfigEditor(config, { checkSignal });
  for (const instruction of parseInstructions(text)) if (isMetadata(instruction)) editor.apply(instruction);
  return editor.config();
}

/** @throws invalid-argument in Docker's words */
export function checkSignal(name: string): void {
  try {
    parseSignal(name);
  } catch (error) {
    throw inWords(error);
  }
}
