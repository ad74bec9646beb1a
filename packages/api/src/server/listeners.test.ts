import { expect, test } from "bun:test";
import type { ListenOptions } from "../contract.ts";
import { Listeners } from "./listeners.ts";

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class World {
  readonly open = new Set<string>();
  readonly failures: unknown[] = [];
  /** Places where the next beginning fails. */
  readonly broken = new Set<string>();
  readonly listeners = new Listeners(
    (where) => this.#begin(where),
    (error) => this.failures.push(error),
  );

  place(path: string): () => ListenOptions {
    return () => {
      if (this.broken.delete(path)) throw new Error(`EMFILE ${path}`);
      return { path };
    };
  }

  async #begin(where: ListenOptions): Promise<{ close(): void }> {
    await settle();
    const path = "path" in where ? where.path : "host" in where ? where.host : "";
    if (this.broken.delete(path)) throw new Error(`in use ${path}`);
    this.open.add(path);
    return { close: () => void this.open.delete(path) };
  }
}

test("after a pause all places accept again, of every kind", async () => {
  const world = new World();
  const { listeners, open } = world;
  await listeners.add(world.place("one"));
  await listeners.add(() => ({ host: "two", port: 1 }));
  listeners.pause();
  expect([...open]).toEqual([]);
  expect(listeners.resume()).toBe(false);
  await settle();
  await settle();
  expect([...open]).toEqual(["one", "two"]);
  expect(listeners.resume()).toBe(true);
  expect(open.size).toBe(2);
});

test("a place that fails to accept again does not keep the others from it, and is tried again", async () => {
  const world = new World();
  const { listeners, open, broken, failures } = world;
  await listeners.add(world.place("one"));
  await listeners.add(world.place("two"));
  await listeners.add(() => ({ host: "three", port: 1 }));
  listeners.pause();
  broken.add("one").add("three");
  expect(listeners.resume()).toBe(false);
  await settle();
  await settle();
  expect([...open]).toEqual(["two"]);
  expect(failures.map(String)).toEqual(["Error: EMFILE one", "Error: in use three"]);
  expect(listeners.resume()).toBe(false);
  await settle();
  await settle();
  expect([...open].toSorted()).toEqual(["one", "three", "two"]);
  expect(listeners.resume()).toBe(true);
});

test("a pause or a close that comes while a place begins again wins", async () => {
  for (const end of ["pause", "close"] as const) {
    const world = new World();
    await world.listeners.add(world.place("one"));
    world.listeners.pause();
    world.listeners.resume();
    world.listeners[end]();
    await settle();
    await settle();
    expect([...world.open]).toEqual([]);
  }
});
