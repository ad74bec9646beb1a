/** Heredocs: `RUN <<EOF`, `COPY <<"EOF" /file`. */
import { splitWords, unquote, type Escape } from "./words.ts";

export interface HeredocStart {
  readonly name: string;
  /** The name had no quotes: variables in the content are expanded. */
  readonly expand: boolean;
  /** `<<-`: tabs at the beginning of lines are dropped. */
  readonly chomp: boolean;
  /** The number before `<<`; 0 when there is none. */
  readonly fileDescriptor: number;
}

export interface Heredoc extends HeredocStart {
  readonly content: string;
}

const shape = /^(\d*)<<(-?)([^<]*)$/;

/** The heredocs that begin in an instruction, in their order. */
export function heredocsOf(rest: string, escape: Escape): HeredocStart[] {
  return splitWords(rest, escape).flatMap((word) => {
    const start = heredocStart(word, escape);
    return start === undefined ? [] : [start];
  });
}

/** undefined for a word that begins no heredoc. */
export function heredocStart(word: string, escape: Escape): HeredocStart | undefined {
  const match = shape.exec(word);
  if (match === null) return undefined;
  const [, descriptor = "", dash, quoted = ""] = match;
  const name = unquote(quoted, escape);
  if (name === "" || /\s/.test(name)) return undefined;
  return { name, expand: name === quoted, chomp: dash === "-", fileDescriptor: Number(descriptor) };
}
