/**
 * Steps that run one after another, and are undone in reverse order when one fails. A step has a name (its stage), makes one thing, and sees
 * what earlier steps made: a list in an impossible order does not compile. Steps know nothing of each other; their work is in separate
 * functions (`steps/`).
 */
export interface Step<Stage extends string, Made, Key extends string, Value> {
  /** A failure names it. Several steps may have the same stage. */
  readonly stage: Stage;
  /** The name under which later steps find what it made. */
  readonly makes: Key;
  /** The list waits only for a promise: a step that need not wait returns its value. */
  readonly run: (made: Made) => Value | Promise<Value>;
  /** Called when a later step fails, or this one. Its result is absent when it failed itself, because it may have done a part. */
  readonly undo?: (made: Made & { readonly [K in Key]?: Value }) => void | Promise<void>;
  /** Called when everything is over, successful or not. Not called for a step that failed. */
  readonly end?: (made: Made & Readonly<Record<Key, Value>>) => void;
  /** Words for people: the work since the last step that has such words. */
  readonly words?: (made: Made & Readonly<Record<Key, Value>>) => string;
}

/** For a step whose types the list handles. */
type AnyStep<Stage extends string> = Step<Stage, Readonly<Record<string, unknown>>, string, unknown>;

export interface StepObserver<Stage extends string, Made> {
  /** A step that has words is finished; the words are made only when they are called. */
  readonly done?: (words: () => string, made: Partial<Made>) => void;
  /** Undoing or ending a step failed: the others are undone anyway. */
  readonly undoFailed: (stage: Stage, error: unknown) => void;
}

export type StepsResult<Stage extends string, Made> =
  | { readonly kind: "done"; readonly made: Made }
  /** Everything is undone. */
  | { readonly kind: "failed"; readonly stage: Stage; readonly reason: unknown };

export class StepList<Stage extends string, Given extends object, Made extends Given = Given> {
  readonly #steps: readonly AnyStep<Stage>[];

  private constructor(steps: readonly AnyStep<Stage>[]) {
    this.#steps = steps;
  }

  static of<Stage extends string, Given extends object>(): StepList<Stage, Given> {
    return new StepList<Stage, Given>([]);
  }

  /** The same list with one more step at its end. */
  add<Key extends string, Value>(
    step: Step<Stage, Made, Key, Value>,
  ): StepList<Stage, Given, Made & Readonly<Record<Key, Value>>> {
    return new StepList([...this.#steps, step as unknown as AnyStep<Stage>]);
  }

  get stages(): readonly Stage[] {
    return this.#steps.map(({ stage }) => stage);
  }

  /** Never rejects. */
  async run(given: Given, { done, undoFailed }: StepObserver<Stage, Made>): Promise<StepsResult<Stage, Made>> {
    const made: Record<string, unknown> = Object.fromEntries(Object.entries(given));
    const begun: AnyStep<Stage>[] = [];
    const ended: AnyStep<Stage>[] = [];
    try {
      for (const step of this.#steps) {
        begun.push(step);
        const value = step.run(made);
        made[step.makes] = value instanceof Promise ? await value : value;
        ended.push(step);
        const { words } = step;
        if (words !== undefined) done?.(() => words(made), made as Partial<Made>);
      }
      return { kind: "done", made: made as Made };
    } catch (reason) {
      const { stage } = begun.at(-1)!;
      for (const step of begun.toReversed())
        try {
          await step.undo?.(made);
        } catch (error) {
          undoFailed(step.stage, error);
        }
      return { kind: "failed", stage, reason };
    } finally {
      for (const step of ended.toReversed())
        try {
          step.end?.(made);
        } catch (error) {
          undoFailed(step.stage, error);
        }
    }
  }
}
