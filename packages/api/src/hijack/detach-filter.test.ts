import { expect, test } from "bun:test";
import { DetachFilter } from "./detach-filter.ts";

const [p, q] = [16, 17];
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** Pushes each packet; returns what reached the process and whether it detached. */
function run(keys: Uint8Array, packets: readonly (readonly number[])[]): { forward: number[]; detached: boolean } {
  const filter = new DetachFilter(keys);
  const forward: number[] = [];
  for (const packet of packets) {
    const result = filter.push(bytes(...packet));
    forward.push(...result.forward);
    if (result.detached) return { forward, detached: true };
  }
  forward.push(...filter.flush());
  return { forward, detached: false };
}

test.each([
  ["no keys in it", [[1, 2, 3]], [1, 2, 3], false],
  ["the keys alone", [[p, q]], [], true],
  ["in two packets", [[p], [q]], [], true],
  ["after other bytes", [[1, p, q, 2]], [1], true],
  ["the first key twice", [[p, p, q]], [p], true],
  ["something else after the first", [[p, 5]], [p, 5], false],
  ["something else in the next packet", [[p], [5]], [p, 5], false],
  ["the first key at the end", [[1, p]], [1, p], false],
])("%s", (_name, packets, forward, detached) => {
  expect(run(bytes(p, q), packets)).toEqual({ forward, detached });
});

test("a sequence whose beginning repeats in it", () => {
  expect(run(bytes(1, 1, 2), [[1, 1, 1, 2]])).toEqual({ forward: [1], detached: true });
  expect(run(bytes(1, 2, 1, 3), [[1, 2, 1, 2, 1, 3]])).toEqual({ forward: [1, 2], detached: true });
});

test("no keys, no filter", () => {
  expect(run(bytes(), [[p, q]])).toEqual({ forward: [p, q], detached: false });
});

test("all typed bytes up to the keys reach the process, in any packets", () => {
  const keys = bytes(1, 2, 1);
  for (let seed = 0; seed < 2000; seed++) {
    const typed: number[] = [];
    for (let index = 0, state = seed * 2654435761; index < 12; index++) {
      state = (state * 1103515245 + 12345) % 2147483648;
      typed.push(1 + (Math.floor(state / 65536) % 3));
    }
    let end = -1;
    for (let index = 0; index + 3 <= typed.length && end < 0; index++)
      if (typed[index] === 1 && typed[index + 1] === 2 && typed[index + 2] === 1) end = index;
    const expected = end < 0 ? { forward: typed, detached: false } : { forward: typed.slice(0, end), detached: true };
    expect(run(keys, [typed])).toEqual(expected);
    expect(
      run(
        keys,
        typed.map((byte) => [byte]),
      ),
    ).toEqual(expected);
  }
});
