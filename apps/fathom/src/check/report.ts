/** The results of `fathom check`, and how they are printed. */

/**
 * `fallback`: it is missing, and Fathom does something else. `note`: nothing fails, but the user should know. `missing`: containers cannot run
 * without it.
 */
export type FindingState = "ok" | "fallback" | "note" | "missing";

export interface Finding {
  readonly state: FindingState;
  readonly name: string;
  /** Its purpose, what Fathom does instead, or how to get it. */
  readonly text: string;
}

export interface Section {
  readonly title: string;
  readonly findings: readonly Finding[];
}

const shown: Readonly<Record<FindingState, string>> = {
  ok: "ok",
  fallback: "fallback",
  note: "note",
  missing: "MISSING",
};
const stateWidth = 8;

export function renderSections(title: string, sections: readonly Section[]): string {
  const blocks = sections.map(
    (section) =>
      `\n${section.title}\n` +
      section.findings
        .map(
          ({ state, name, text }) => `  ${shown[state].padEnd(stateWidth)} ${name}${text === "" ? "" : `: ${text}`}\n`,
        )
        .join(""),
  );
  return `${title}\n${blocks.join("")}\n${summary(sections)}\n`;
}

export function countOf(sections: readonly Section[], state: FindingState): number {
  return sections.flatMap(({ findings }) => findings).filter((finding) => finding.state === state).length;
}

function summary(sections: readonly Section[]): string {
  const missing = sections.flatMap(({ findings }) => findings).filter(({ state }) => state === "missing");
  const first =
    missing.length === 0
      ? "Everything that is needed is here"
      : `Missing, and needed: ${missing.map(({ name }) => name).join(", ")}`;
  return `${first}. Another way is used for ${countOf(sections, "fallback")}; ${countOf(sections, "note")} to note.`;
}
