/** Exit codes, signals, and the errors of programs that cannot be executed. */
import { afterAll, expect, test } from "bun:test";
import { Rig, run } from "./rig.ts";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

test("a program's exit code is the container's", async () => {
  for (const code of [0, 1, 42, 255]) {
    const result = await run(rig, ["sh", "-c", `exit ${code}`]);
    expect(result.code).toBe(code);
    expect(result.signal).toBe(0);
  }
});
