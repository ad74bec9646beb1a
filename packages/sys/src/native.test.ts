import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createSys } from "./create-sys.ts";
import { libraryTooOld, loadNative } from "./native.ts";

const withoutArguments = new Set(["createNetworkNamespace", "inotifyInit"]);

test("the addon exports exactly what native.ts declares", () => {
  const source = readFileSync(new URL("./native.ts", import.meta.url), "utf8");
  const body = /interface NativeAddon \{\n([\s\S]*?)\n\}/.exec(source)?.[1] ?? "";
  const declared = [...body.matchAll(/^ {2}(\w+)\(/gm)].map((match) => match[1]!);
  expect(Object.keys(loadNative()).toSorted()).toEqual(declared.toSorted());
});

test("missing and wrong arguments give EINVAL, never a crash", () => {
  for (const [name, method] of Object.entries(loadNative())) {
    if (withoutArguments.has(name)) continue;
    const call = (...args: unknown[]): unknown => Reflect.apply(method, undefined, args);
    expect([name, call()]).toEqual([name, -22]);
    for (const value of [{}, null, undefined, () => 1, Symbol("x"), [1]])
      expect([name, call(...Array.from({ length: 6 }, () => value))]).toEqual([name, -22]);
  }
});

test("every thread has its own object over one addon", () => {
  expect(createSys()).not.toBe(createSys());
  expect(loadNative()).toBe(loadNative());
});

test("the error for an older C library says what to do; other failures stay unchanged", () => {
  const said = "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /proc/self/fd/5)";
  expect(libraryTooOld(new Error(said))?.message).toBe(
    "this program needs glibc 2.34 or newer, and this machine's is older: build it on this machine, or use a newer distribution",
  );
  expect(libraryTooOld(new Error("no such file"))).toBeUndefined();
});
