/** The C decoder of plans, built with the sanitizers, on true and on damaged plans. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodePlan, type Operation } from "@fathom/runtime";
import { plan, Rig } from "./rig.ts";

const base = mkdtempSync(join(tmpdir(), "fathom-decoder-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));
const native = join(import.meta.dir, "../../native/init");

test("damaged plans are refused or read within their bounds", async () => {
  using rig = new Rig();
  const program = join(base, "plan-fuzz");
  const sources = ["fuzz/plan-fuzz.c", "plan.c", "wire.c", "base.c"].map((name) => join(native, name));
  await Bun.$`gcc -O1 -g -std=gnu11 -fsanitize=address,undefined -fno-sanitize-recover=all ${sources} -o ${program}`.quiet();
  const process: Operation[] = [
    { kind: "set-user", uid: 1, gid: 2, groups: [3, 4, 5] },
    { kind: "seccomp", program: new Uint8Array(64), flags: 0 },
    { kind: "sysctl", key: "net.a", value: "b" },
    { kind: "mask", path: "/x" },
    { kind: "bind", source: "/a", target: "/b", recursive: true, create: true, attributes: { set: [] } },
  ];
  const small = join(base, "small.plan");
  const large = join(base, "large.plan");
  writeFileSync(small, encodePlan(plan(rig, ["true"], { process })));
  writeFileSync(
    large,
    encodePlan(plan(rig, ["sh", ...Array.from({ length: 500 }, (_, index) => `argument ${index}`)])),
  );
  const result = await Bun.$`${program} 20000 ${small} ${large}`.quiet().nothrow();
  expect(result.stderr.toString()).toBe("");
  expect(result.exitCode).toBe(0);
  const [, accepted, all] = /^accepted (\d+) of (\d+)/.exec(result.stdout.toString()) ?? [];
  // Some damage is harmless (another letter), most is noticed: both paths were taken.
  expect(Number(accepted)).toBeGreaterThan(100);
  expect(Number(accepted)).toBeLessThan(Number(all));
}, 60_000);
