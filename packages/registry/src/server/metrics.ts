/** Counters in the text format of Prometheus. */
export class Metrics {
  readonly #counters = new Map<string, number>();

  add(name: string, labels: Readonly<Record<string, string | number>> = {}, value = 1): void {
    const words = Object.entries(labels).map(([key, label]) => `${key}="${label}"`);
    const key = words.length === 0 ? name : `${name}{${words.join(",")}}`;
    this.#counters.set(key, (this.#counters.get(key) ?? 0) + value);
  }

  /** @param gauges Values of now. */
  text(gauges: Readonly<Record<string, number>>): string {
    const lines: string[] = [];
    let family = "";
    for (const [key, value] of [...this.#counters].toSorted()) {
      const name = key.split("{")[0]!;
      if (name !== family) lines.push(`# TYPE ${name} counter`);
      family = name;
      lines.push(`${key} ${value}`);
    }
    for (const [name, value] of Object.entries(gauges)) lines.push(`# TYPE ${name} gauge`, `${name} ${value}`);
    return `${lines.join("\n")}\n`;
  }
}
