/** The table for people, and the JSON for programs. */
import type { Peer } from "./engines.ts";
import type { ContenderResult, RowResult, TargetResult } from "./row.ts";

function amount(value: number | undefined, unit: string): string {
  if (value === undefined) return "-";
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${unit}`;
}

function targetText(target: TargetResult, unit: string): string {
  const limit = target.most !== undefined ? `≤ ${target.most} ${unit}` : `≤ ${target.ratio}× ${target.to ?? "dockerd"}`;
  if (target.met === undefined) return limit;
  const value = target.most === undefined && target.value !== undefined ? ` (${target.value.toFixed(3)}×)` : "";
  return `${limit}${value} ${target.met ? "met" : "MISSED"}`;
}

function find(row: RowResult, name: string): ContenderResult | undefined {
  return row.contenders.find((contender) => contender.name === name);
}

/** A Markdown table: one line per row, and one more for each contender that is no engine. */
export function table(results: readonly RowResult[], peer: Peer = "dockerd"): string {
  const lines = [`| row | fathom | ${peer} | ratio | target |`, "|---|---|---|---|---|"];
  for (const row of results) {
    const ours = find(row, "fathom")?.median;
    const theirs = find(row, peer)?.median;
    const ratio = ours !== undefined && theirs !== undefined ? `${(ours / theirs).toFixed(3)}×` : "-";
    const targets = row.targets.map((target) => targetText(target, row.unit)).join(", ");
    lines.push(`| ${row.title} | ${amount(ours, row.unit)} | ${amount(theirs, row.unit)} | ${ratio} | ${targets} |`);
    for (const other of row.contenders) {
      if (other.name === "fathom" || other.name === peer || other.median === undefined) continue;
      const own = ours !== undefined ? `${(ours / other.median).toFixed(2)}× ${other.name}` : "-";
      lines.push(`| … the same by ${other.name}: ${amount(other.median, row.unit)} | | | ${own} | |`);
    }
  }
  return lines.join("\n");
}

/** The rows without a number, and the reason. */
export function problems(results: readonly RowResult[]): string[] {
  return results.flatMap((row) =>
    row.contenders
      .filter((contender) => contender.problem !== undefined)
      .map((contender) => `${row.id}, ${contender.name}: ${contender.problem}`),
  );
}
