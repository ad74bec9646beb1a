/** The values of options, each read by its option's kind, from flags or from the file. */
import type { Ulimit } from "@fathom/spec";

export interface Pool {
  readonly base: string;
  readonly size: number;
}

export type OptionValue =
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "integer" | "size"; readonly value: number }
  | { readonly kind: "list"; readonly value: readonly string[] }
  | { readonly kind: "map"; readonly value: Readonly<Record<string, string>> }
  | { readonly kind: "ulimits"; readonly value: readonly Ulimit[] }
  | { readonly kind: "pools"; readonly value: readonly Pool[] };

/** By flag. Each reader returns undefined when the option was not given. */
export class OptionValues {
  readonly #values: ReadonlyMap<string, OptionValue>;

  constructor(values: Iterable<readonly [string, OptionValue]> = []) {
    this.#values = new Map(values);
  }

  get(flag: string): OptionValue | undefined {
    return this.#values.get(flag);
  }

  has(flag: string): boolean {
    return this.#values.has(flag);
  }

  [Symbol.iterator](): Iterator<readonly [string, OptionValue]> {
    return this.#values[Symbol.iterator]();
  }

  boolean(flag: string): boolean | undefined {
    const found = this.#values.get(flag);
    return found?.kind === "boolean" ? found.value : undefined;
  }

  text(flag: string): string | undefined {
    const found = this.#values.get(flag);
    return found?.kind === "string" ? found.value : undefined;
  }

  number(flag: string): number | undefined {
    const found = this.#values.get(flag);
    return found?.kind === "integer" || found?.kind === "size" ? found.value : undefined;
  }

  list(flag: string): readonly string[] {
    const found = this.#values.get(flag);
    return found?.kind === "list" ? found.value : [];
  }

  map(flag: string): Readonly<Record<string, string>> {
    const found = this.#values.get(flag);
    return found?.kind === "map" ? found.value : {};
  }

  ulimits(flag: string): readonly Ulimit[] {
    const found = this.#values.get(flag);
    return found?.kind === "ulimits" ? found.value : [];
  }

  pools(flag: string): readonly Pool[] | undefined {
    const found = this.#values.get(flag);
    return found?.kind === "pools" ? found.value : undefined;
  }
}
