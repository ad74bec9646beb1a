import { expect, test } from "bun:test";
import { sortedNames } from "./directory-names.ts";

test.each([0, 1, 7, 5_000, 63_456])(
  "%d names in byte order; with many names, other work has its turn",
  async (count) => {
    const names = Array.from({ length: count }, (_, index) => Buffer.from(`${(index * 7919) % 100_003}-${index}`));
    const sys = {
      *readDirectoryParts() {
        for (let at = 0; at < count; at += 300)
          yield names.slice(at, at + 300).map((name) => ({ name, ino: 1n, type: 8 }));
      },
    };
    let turns = 0;
    let ended = false;
    const others = (async () => {
      for (; !ended; turns++) await new Promise((resolve) => setImmediate(resolve));
    })();
    const found = await sortedNames(sys, 3);
    ended = true;
    await others;
    const text = (list: readonly Uint8Array[]): string[] => list.map((name) => Buffer.from(name).toString());
    expect(text(found)).toEqual(text([...names].sort(Buffer.compare)));
    if (count > 60_000) expect(turns).toBeGreaterThan(12);
  },
);
