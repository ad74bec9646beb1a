import { expect, test } from "bun:test";
import { readServeOptions } from "./options.ts";
import { policiesOf } from "./serve.ts";

test("the defaults serve on loopback and collect once a day", () => {
  expect(readServeOptions([])).toMatchObject({
    host: "127.0.0.1",
    port: 5000,
    root: "/var/lib/fathom-registry",
    tls: undefined,
    htpasswd: undefined,
    gcIntervalMs: 86_400_000,
    gcGraceMs: 86_400_000,
    gcUntaggedMs: undefined,
    gcDryRun: false,
  });
  expect(readServeOptions(["--addr", "[::1]:0", "--gc-interval", "0"])).toMatchObject({
    host: "::1",
    port: 0,
    gcIntervalMs: undefined,
  });
});

test.each([
  [["--replicate", "https://x"], "unknown flag: --replicate"],
  [["--mirror", "x"], "--mirror x: expected https://HOST"],
  [["--mirror", "https://user:secret@x"], "expected https://HOST"],
  [["--mirror-expiry", "1h"], "--mirror-expiry needs --mirror"],
  [["--addr", "x"], "--addr x: expected HOST:PORT"],
  [["--addr", ":99999"], "expected HOST:PORT"],
  [["--tls-cert", "c"], "--tls-cert and --tls-key belong together"],
  [["--auth", "none", "--htpasswd", "f"], "--auth none: expected basic or token"],
  [["--access", "a=b:pull"], "give --htpasswd too"],
  [["--access", "a", "--htpasswd", "f"], "--access a: expected USER=PATTERN:pull,push,delete"],
  [["--gc-grace", "1m"], "the least is 10m"],
  [["--gc-interval", "30d"], "at most 20d"],
  [["--gc-interval", "x"], "expected a time such as 30m"],
  [["--keep-tags", "x=0"], "--keep-tags x=0: expected PATTERN=N"],
  [["--quota", "x"], "--quota x: expected PATTERN=SIZE"],
  [["word"], "word"],
])("%j is rejected: %s", (argv, message) => {
  expect(() => readServeOptions(argv)).toThrow(message);
});

test("patterns decide which tags are immutable and how large a repository may be", () => {
  const { isImmutable, quotaOf } = policiesOf(
    readServeOptions([
      "--immutable-tags",
      "release/*:v*",
      "--immutable-tags",
      "*:final",
      "--quota",
      "a/*=1k",
      "--quota",
      "*=2m",
    ]),
  );
  expect(isImmutable("release/app", "v1")).toBe(true);
  expect(isImmutable("release/app", "latest")).toBe(false);
  expect(isImmutable("dev", "final")).toBe(true);
  expect([quotaOf("a/b"), quotaOf("b")]).toEqual([1024, 2 * 1024 * 1024]);
});
