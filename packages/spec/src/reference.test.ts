import { describe, expect, test } from "bun:test";
import {
  canonicalString,
  familiarName,
  familiarString,
  parseReference,
  tryParseReference,
  withDefaultTag,
  withDigest,
  withTag,
} from "./reference.ts";
import { parseDigest } from "./digest.ts";

const hex = "0123456789abcdef".repeat(4);

describe("parseReference", () => {
  const good: readonly (readonly [string, string, string, string | undefined, string | undefined])[] = [
    ["alpine", "docker.io", "library/alpine", undefined, undefined],
    ["alpine:3.20", "docker.io", "library/alpine", "3.20", undefined],
    ["user/name", "docker.io", "user/name", undefined, undefined],
    ["docker.io/alpine", "docker.io", "library/alpine", undefined, undefined],
    ["index.docker.io/alpine", "docker.io", "library/alpine", undefined, undefined],
    ["localhost/a", "localhost", "a", undefined, undefined],
    ["localhost", "docker.io", "library/localhost", undefined, undefined],
    ["localhost:5000", "docker.io", "library/localhost", "5000", undefined],
    ["localhost:5000/a/b:t", "localhost:5000", "a/b", "t", undefined],
    ["127.0.0.1:5000/a", "127.0.0.1:5000", "a", undefined, undefined],
    ["[::1]:5000/a:x", "[::1]:5000", "a", "x", undefined],
    ["Host/a", "Host", "a", undefined, undefined],
    ["ghcr.io/o/r:v1", "ghcr.io", "o/r", "v1", undefined],
    [`a@sha256:${hex}`, "docker.io", "library/a", undefined, `sha256:${hex}`],
    [`a:t@sha256:${hex}`, "docker.io", "library/a", "t", `sha256:${hex}`],
    [`a@sha512:${hex}${hex}`, "docker.io", "library/a", undefined, `sha512:${hex}${hex}`],
    ["a--b/c__d/e.f", "docker.io", "a--b/c__d/e.f", undefined, undefined],
    [`${hex}:t`, "docker.io", `library/${hex}`, "t", undefined],
  ];
  for (const [text, registry, repository, tag, digest] of good)
    test(text.slice(0, 40), () => {
      expect(parseReference(text)).toEqual({ registry, repository, tag, digest } as never);
    });

  const bad: readonly (readonly [string, string])[] = [
    ["", "invalid reference format"],
    ["Bad Name", "invalid reference format: repository name (library/Bad Name) must be lowercase"],
    ["127.0.0.1:5000/UPPER", "invalid reference format: repository name (UPPER) must be lowercase"],
    ["a/B:t", "invalid reference format: repository name (a/B) must be lowercase"],
    ["busybox:bad:tag", "invalid reference format"],
    ["a:b c", "invalid reference format"],
    ["a@sha256:1234", "invalid reference format"],
    [`a@sha256:${hex.slice(2)}`, "invalid checksum digest length"],
    [`a@sha256:${hex.toUpperCase()}`, "invalid checksum digest format"],
    [`a@md5:${hex.slice(0, 32)}`, "unsupported digest algorithm"],
    [hex, `invalid repository name (${hex}), cannot specify 64-byte hexadecimal strings`],
    ["a___b", "invalid reference format"],
    ["a..b", "invalid reference format"],
    ["-a", "invalid reference format"],
    ["a/../b", "invalid reference format"],
    ["a//b", "invalid reference format"],
    ["host.example:port/a", "invalid reference format"],
    [`a:${"t".repeat(129)}`, "invalid reference format"],
    ["a".repeat(256), "repository name must not be more than 255 characters"],
    ["a".repeat(5000), "invalid reference format"],
    ["a\n", "invalid reference format"],
  ];
  for (const [text, message] of bad)
    test(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
      expect(() => parseReference(text)).toThrow(message);
      expect(tryParseReference(text)).toBeUndefined();
    });
});

test("the familiar form comes back", () => {
  for (const [text, name, whole] of [
    ["docker.io/library/alpine:3", "alpine", "alpine:3"],
    ["docker.io/library/a/b", "library/a/b", "library/a/b"],
    ["docker.io/user/x", "user/x", "user/x"],
    ["localhost:1/a:b", "localhost:1/a", "localhost:1/a:b"],
  ] as const) {
    expect(familiarName(parseReference(text))).toBe(name);
    expect(familiarString(parseReference(text))).toBe(whole);
  }
  const both = parseReference(`alpine:3@sha256:${hex}`);
  expect(canonicalString(both)).toBe(`docker.io/library/alpine:3@sha256:${hex}`);
});

test("default tag, other tag, digest", () => {
  expect(canonicalString(withDefaultTag(parseReference("a")))).toBe("docker.io/library/a:latest");
  expect(withDefaultTag(parseReference("a:1")).tag).toBe("1");
  expect(withDefaultTag(parseReference(`a@sha256:${hex}`)).tag).toBeUndefined();
  expect(familiarString(withTag(parseReference(`a@sha256:${hex}`), "2"))).toBe("a:2");
  expect(familiarString(withDigest(parseReference("a:1"), parseDigest(`sha256:${hex}`)))).toBe(`a@sha256:${hex}`);
  expect(() => withTag(parseReference("a"), "a:b")).toThrow("invalid tag format");
});
