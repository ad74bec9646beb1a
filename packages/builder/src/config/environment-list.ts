import { environmentOf } from "../dockerfile/words.ts";

/** NAME=value entries in their order. When a name is already in the list, its first entry is replaced. */
export class EnvironmentList {
  readonly entries: string[];
  readonly values: Map<string, string>;
  readonly #places = new Map<string, number>();

  constructor(entries: readonly string[]) {
    this.entries = [...entries];
    this.values = environmentOf(entries);
    for (const [index, entry] of entries.entries()) {
      const name = entry.split("=", 1)[0]!;
      if (!this.#places.has(name)) this.#places.set(name, index);
    }
  }

  set(name: string, value: string): void {
    const place = this.#places.get(name) ?? this.entries.length;
    this.#places.set(name, place);
    this.entries[place] = `${name}=${value}`;
    this.values.set(name, value);
  }
}
