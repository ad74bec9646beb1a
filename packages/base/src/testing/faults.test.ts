import { describe, expect, test } from "bun:test";
import { Faults } from "./faults.ts";

function fake(faults: Faults): {
  add(n: number): number;
  later(n: number, signal?: AbortSignal): Promise<number>;
  sum: number;
} {
  const target = {
    sum: 0,
    add: (n: number) => (target.sum += n),
    later: async (n: number) => (target.sum += n),
  };
  return faults.wrap("adder", target);
}

describe("planned faults", () => {
  test("the next call of a name fails once and does nothing else", async () => {
    const faults = new Faults();
    const adder = fake(faults);
    faults.failNext("adder.add");
    faults.failNext("adder.later", new Error("mine"));
    expect(() => adder.add(1)).toThrow("adder.add fails");
    await expect(adder.later(1)).rejects.toThrow("mine");
    expect(faults.done).toBe(true);
    expect([adder.add(1), await adder.later(1), adder.sum]).toEqual([1, 2, 2]);
    expect(faults.calls.map(({ name, waits }) => `${name} ${waits}`)).toEqual([
      "adder.add false",
      "adder.later true",
      "adder.add false",
      "adder.later true",
    ]);
  });

  test("the Nth call from now on fails", () => {
    const faults = new Faults();
    const adder = fake(faults);
    adder.add(1);
    faults.failNth(2);
    expect(adder.add(1)).toBe(2);
    expect(faults.done).toBe(false);
    expect(() => adder.add(1)).toThrow();
    expect(adder.add(1)).toBe(3);
  });

  test("every call fails until clear()", () => {
    const faults = new Faults();
    const adder = fake(faults);
    faults.failAlways("adder.add");
    for (let tries = 0; tries < 3; tries++) expect(() => adder.add(1)).toThrow();
    faults.clear();
    expect(adder.add(1)).toBe(1);
  });

  test("a call hangs until the test releases it, the test fails it, or its signal aborts", async () => {
    const faults = new Faults();
    const adder = fake(faults);
    const hang = faults.hangNext("adder.later");
    const answer = adder.later(1);
    await hang.reached;
    // Other calls of the same name do not hang.
    expect(await adder.later(10)).toBe(10);
    hang.goOn();
    expect(await answer).toBe(11);

    const failing = faults.hangNth(1);
    const failed = adder.later(1);
    failing.fail(new Error("late"));
    await expect(failed).rejects.toThrow("late");

    faults.hangNext("adder.later");
    const controller = new AbortController();
    const stopped = adder.later(1, controller.signal);
    controller.abort(new Error("too long"));
    await expect(stopped).rejects.toThrow("too long");
    expect(adder.sum).toBe(11);

    faults.hangNext("adder.add");
    expect(() => adder.add(1)).toThrow("cannot hang");
  });

  test("a stream fails with its first value, or hangs before it", async () => {
    const faults = new Faults();
    const source = faults.wrap("source", {
      async *numbers(_signal?: AbortSignal) {
        yield* [1, 2];
      },
    });
    faults.failNext("source.numbers", new Error("mine"));
    await expect(Array.fromAsync(source.numbers())).rejects.toThrow("mine");

    const hang = faults.hangNext("source.numbers");
    const values = Array.fromAsync(source.numbers());
    await hang.reached;
    hang.goOn();
    expect(await values).toEqual([1, 2]);

    faults.hangNext("source.numbers");
    const controller = new AbortController();
    const stopped = Array.fromAsync(source.numbers(controller.signal));
    controller.abort(new Error("too long"));
    await expect(stopped).rejects.toThrow("too long");
    expect(await Array.fromAsync(source.numbers())).toEqual([1, 2]);
  });
});
