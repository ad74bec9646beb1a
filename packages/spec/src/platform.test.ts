import { describe, expect, test } from "bun:test";
import { formatPlatform, normalizePlatform, parsePlatform, pickPlatform, platformMatches } from "./platform.ts";
import type { Platform } from "./oci/image.ts";

const amd64: Platform = { os: "linux", architecture: "amd64" };

const pick = (wanted: string, ...offered: string[]) =>
  pickPlatform(
    parsePlatform(wanted, amd64),
    offered.map((text) => ({
      name: text,
      platform: text === "?" ? undefined : ({ ...parsePlatform(text, amd64) } as Platform),
    })),
  )?.name;

const is = (wanted: string, image: string) =>
  platformMatches(parsePlatform(wanted, amd64), parsePlatform(image, amd64));

describe("parsePlatform", () => {
  const good: readonly (readonly [string, Platform])[] = [
    ["linux/amd64", { os: "linux", architecture: "amd64" }],
    ["linux/x86_64", { os: "linux", architecture: "amd64" }],
    ["linux/amd64/v1", { os: "linux", architecture: "amd64" }],
    ["linux/amd64/v3", { os: "linux", architecture: "amd64", variant: "v3" }],
    ["linux/arm64/v8", { os: "linux", architecture: "arm64", variant: "v8" }],
    ["linux/aarch64", { os: "linux", architecture: "arm64" }],
    ["linux/arm", { os: "linux", architecture: "arm" }],
    ["linux/arm/v7", { os: "linux", architecture: "arm", variant: "v7" }],
    ["linux/armel", { os: "linux", architecture: "arm", variant: "v6" }],
    ["linux/arm/6", { os: "linux", architecture: "arm", variant: "v6" }],
    ["Linux/AMD64", { os: "linux", architecture: "amd64" }],
    ["macos/arm64", { os: "darwin", architecture: "arm64" }],
    ["arm64", { os: "linux", architecture: "arm64", variant: "v8" }],
    ["linux", { os: "linux", architecture: "amd64" }],
  ];
  for (const [text, platform] of good)
    test(text, () => {
      expect(parsePlatform(text, amd64)).toEqual(platform);
    });
  for (const [text, message] of [
    ["linux/amd64/v9/x", '"linux/amd64/v9/x": cannot parse platform specifier: invalid argument'],
    ["linux/", '"" is an invalid component of "linux/"'],
    ["li nux/a", '"li nux" is an invalid component of "li nux/a"'],
    ["nonsense", '"nonsense": unknown operating system or architecture: invalid argument'],
    ["", '"" is an invalid component of ""'],
    ["*", '"*": wildcards not yet supported'],
  ] as const)
    test(`refuses ${text}`, () => {
      expect(() => parsePlatform(text, amd64)).toThrow(message);
    });
});

test("formats platforms as users type them", () => {
  expect(formatPlatform({ os: "linux", architecture: "arm", variant: "v7" })).toBe("linux/arm/v7");
  expect(formatPlatform(parsePlatform("linux/arm64/v8", amd64))).toBe("linux/arm64/v8");
  expect(formatPlatform({ os: "linux", architecture: "amd64" })).toBe("linux/amd64");
  expect(normalizePlatform({ os: "linux", architecture: "armhf" })).toEqual({
    os: "linux",
    architecture: "arm",
    variant: "v7",
  });
});

describe("pickPlatform", () => {
  test("chooses the nearest variant, not the first possible one", () => {
    expect(pick("linux/arm/v7", "linux/arm/v5", "linux/arm/v6", "linux/arm64")).toBe("linux/arm/v6");
    expect(pick("linux/arm/v7", "linux/arm/v8")).toBeUndefined();
    expect(pick("linux/arm64", "linux/arm/v7", "linux/arm64/v8")).toBe("linux/arm64/v8");
    expect(pick("linux/arm64", "linux/arm/v6", "linux/arm/v7")).toBe("linux/arm/v7");
    expect(pick("linux/amd64/v3", "linux/amd64", "linux/amd64/v2", "linux/amd64/v4")).toBe("linux/amd64/v2");
    expect(pick("linux/amd64", "linux/amd64/v2", "linux/amd64")).toBe("linux/amd64");
    expect(pick("linux/amd64", "linux/amd64/v2")).toBeUndefined();
    expect(pick("linux/amd64", "linux/386", "linux/amd64")).toBe("linux/amd64");
    expect(pick("linux/amd64", "linux/386")).toBe("linux/386");
    expect(pick("linux/386", "linux/amd64", "linux/386")).toBe("linux/386");
    expect(pick("linux/s390x", "linux/amd64", "linux/arm64")).toBeUndefined();
    expect(pick("linux/amd64", "windows/amd64")).toBeUndefined();
  });
  test("an entry without a platform is the last choice", () => {
    expect(pick("linux/amd64", "?", "linux/amd64")).toBe("linux/amd64");
    expect(pick("linux/amd64", "?")).toBe("?");
  });
});

test("an image for an older variant runs, an image for a newer variant does not", () => {
  expect(is("linux/arm/v7", "linux/arm/v6")).toBe(true);
  expect(is("linux/arm/v6", "linux/arm/v7")).toBe(false);
  expect(is("linux/arm64", "linux/amd64")).toBe(false);
});
