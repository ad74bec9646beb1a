/** Exit codes of containers that removed themselves a moment ago (`--rm`), for clients that wait too late. */
import type { Container } from "../container.ts";

/** How long, and how many of them. */
const keepMs = 10_000;
const limit = 1000;

export class Departed {
  readonly #byId = new Map<string, { readonly code: number; readonly name: string; readonly atMs: number }>();

  add({ id, record }: Container, nowMs: number): void {
    for (const [other, { atMs }] of this.#byId)
      if (nowMs - atMs > keepMs || this.#byId.size >= limit) this.#byId.delete(other);
    this.#byId.set(id, { code: record.state.exitCode, name: record.name, atMs: nowMs });
  }

  /** By id, id prefix or name, the last one first; undefined for others. */
  exitCode(nameOrId: string, nowMs: number): number | undefined {
    const name = nameOrId.replace(/^\//, "");
    for (const [id, entry] of [...this.#byId].toReversed())
      if (nowMs - entry.atMs <= keepMs && (entry.name === name || (name.length >= 12 && id.startsWith(name))))
        return entry.code;
    return undefined;
  }
}
