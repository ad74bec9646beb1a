/** An error of a Dockerfile, with its place. */
import { EngineError } from "@fathom/base";

/** Lines and columns count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
  /** The text of that line. */
  readonly source: string;
  /** Characters to mark from the column on. */
  readonly length: number;
}

export class DockerfileError extends EngineError {
  /** Without the place: "unknown instruction: NOSUCH". */
  readonly reason: string;
  readonly place: Place | undefined;

  constructor(reason: string, place?: Place) {
    super(
      "invalid-argument",
      place === undefined ? reason : `dockerfile parse error on line ${place.line}: ${reason}${excerpt(place)}`,
    );
    this.name = "DockerfileError";
    this.reason = reason;
    this.place = place;
  }
}

const longestShown = 160;

/** The line with a mark below it. */
function excerpt({ line, column, source, length }: Place): string {
  if (source === "") return "";
  const shown = source.length > longestShown ? `${source.slice(0, longestShown)}…` : source;
  const number = String(line);
  const indent = shown.slice(0, column - 1).replaceAll(/[^\t]/g, " ");
  const marks = "^".repeat(Math.max(1, Math.min(length, shown.length - column + 1)));
  return `\n  ${number} | ${shown}\n  ${" ".repeat(number.length)} | ${indent}${marks}`;
}

/** Thrown by a part of the parser that does not know the place; `parse.ts` adds it. */
export function wrong(reason: string): DockerfileError {
  return new DockerfileError(reason);
}
