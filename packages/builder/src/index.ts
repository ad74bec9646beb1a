export * from "./contract.ts";
export type {
  CopyInstruction,
  Instruction,
  InstructionBody,
  RunInstruction,
  Stage,
} from "./dockerfile/instructions.ts";
export { instructionKeywords, parseDockerfile, parseInstructions, type Dockerfile } from "./dockerfile/parse.ts";
export { ConfigEditor, isMetadata, type ConfigRules, type RunConfig } from "./config/apply.ts";
export { openBuilder } from "./builder.ts";
