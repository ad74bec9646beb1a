/** The check finds assertions that nobody awaits, and fixed waits. */
import { expect, test } from "bun:test";
import { fixedSleeps, unawaited } from "../../script/check-tests.ts";

const judge = "expect"; // Not written out, because the check also reads this file.

test("assertions on promises are awaited", () => {
  const text = [
    `${judge}(a()).rejects.toThrow();`,
    `await ${judge}(a()).rejects.toThrow("(");`,
    `${judge}(a(")"), { b: [1] })`,
    `  .not.resolves.toBe(1);`,
    `return ${judge}(a()).rejects.toThrow();`,
    `const all = [${judge}(a()).rejects.toThrow()];`,
    `test("x", () => ${judge}(a()).resolves.toBe(1));`,
    `${judge}(a).toBe(1);`,
  ];
  expect(unawaited(text.join("\n"))).toEqual([1, 3]);
});

test("waits have a condition or a reason", () => {
  const pause = "Bun.sleep"; // As above.
  const timer = "setTimeout";
  const text = [
    `await ${pause}(5);`,
    `while (!done()) await ${pause}(5);`,
    `for (let tries = 0; tries < 9; tries++) {`,
    `  if (done()) break;`,
    `  await ${pause}(5);`,
    `}`,
    `// sleep: the kernel's clock has a step of 4 ms`,
    `await ${pause}(5);`,
    `${timer}(() => stop(), 5); // sleep: a client that thinks`,
    `${timer}(() => stop(), 5);`,
  ];
  expect(fixedSleeps(text.join("\n"))).toEqual([1, 10]);
});
