/** The rows of the bench, how a row is measured, and its result. */
import type { Engine } from "./engines.ts";
import { median } from "./measure.ts";

export interface Contender {
  readonly name: string;
  readonly sample: () => number | Promise<number>;
  readonly after?: () => void;
}

export interface Target {
  /** The number may be at most this, in the row's unit. */
  readonly most?: number;
  /** The number may be at most this many times the number of `to` (dockerd when absent). */
  readonly ratio?: number;
  readonly to?: string;
}

export interface Row {
  readonly id: string;
  readonly title: string;
  readonly unit: "ms" | "MB";
  /** How many samples each contender gives, after one that does not count (unless `warmUp` is false or there is only one). */
  readonly rounds: number;
  readonly warmUp?: boolean;
  readonly targets: readonly Target[];
  readonly before?: () => unknown;
  readonly contenders: readonly Contender[];
  readonly after?: () => unknown;
}

/** The engines that this machine has. */
export interface Sides {
  readonly engines: readonly Engine[];
}

export interface ContenderResult {
  readonly name: string;
  readonly samples: readonly number[];
  readonly median?: number;
  /** Why there is no number. */
  readonly problem?: string;
}

export interface TargetResult extends Target {
  readonly value?: number;
  /** Absent when one of the two contenders has no number. */
  readonly met?: boolean;
}

export interface RowResult {
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly contenders: readonly ContenderResult[];
  readonly targets: readonly TargetResult[];
}

export function judge(targets: readonly Target[], contenders: readonly ContenderResult[]): TargetResult[] {
  const of = (name: string): number | undefined => contenders.find((contender) => contender.name === name)?.median;
  const ours = of("fathom");
  return targets.map((target) => {
    if (ours === undefined) return target;
    if (target.most !== undefined) return { ...target, value: ours, met: ours <= target.most };
    const other = of(target.to ?? "dockerd");
    if (other === undefined || target.ratio === undefined) return target;
    return { ...target, value: ours / other, met: ours / other <= target.ratio };
  });
}

/**
 * Takes the samples in turns, A B A B, so that other work on the machine affects all contenders equally. A contender that fails is dropped,
 * with its reason.
 */
export async function measureRow(row: Row, roundsLimit: number): Promise<RowResult> {
  const samples = new Map(row.contenders.map((contender): [Contender, number[]] => [contender, []]));
  const problems = new Map<Contender, string>();
  const rounds = Math.min(row.rounds, roundsLimit);
  const first = row.rounds > 1 && row.warmUp !== false ? -1 : 0;
  try {
    await row.before?.();
    for (let round = first; round < rounds; round++) {
      for (const contender of row.contenders) {
        if (problems.has(contender)) continue;
        try {
          const value = await contender.sample();
          if (round >= 0) samples.get(contender)?.push(value);
        } catch (error) {
          problems.set(contender, error instanceof Error ? error.message : String(error));
        }
      }
    }
  } catch (error) {
    for (const contender of row.contenders) problems.set(contender, `preparation: ${String(error)}`);
  } finally {
    for (const contender of row.contenders) contender.after?.();
    try {
      await row.after?.();
    } catch {
      // The engines are removed at the end anyway.
    }
  }
  const contenders = row.contenders.map((contender): ContenderResult => {
    const taken = samples.get(contender) ?? [];
    const problem = problems.get(contender);
    if (problem !== undefined) return { name: contender.name, samples: taken, problem };
    return { name: contender.name, samples: taken, median: median(taken) };
  });
  return { id: row.id, title: row.title, unit: row.unit, contenders, targets: judge(row.targets, contenders) };
}
