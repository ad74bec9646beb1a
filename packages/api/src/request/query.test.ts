import { describe, expect, test } from "bun:test";
import { Query } from "./query.ts";

describe("Query", () => {
  test.each([
    ["x=1", true],
    ["x=true", true],
    ["x=yes", true],
    ["x=maybe", true],
    ["x=0", false],
    ["x=False", false],
    ["x=no", false],
    ["x=none", false],
    ["x=", false],
    ["x", false],
    ["", false],
    ["y=1", false],
  ])("boolean of %j", (text, value) => expect(new Query(text).boolean("x")).toBe(value));

  test("a boolean that is absent has the endpoint's own value", () => {
    expect(new Query("").booleanOr("quiet", true)).toBe(true);
    expect(new Query("quiet=0").booleanOr("quiet", true)).toBe(false);
  });

  test("integer", () => {
    expect(new Query("t=-1").integer("t")).toBe(-1);
    expect(new Query("").integer("t")).toBeUndefined();
    expect(() => new Query("t=x").integer("t")).toThrow("invalid value \"x\" for 't'");
    expect(() => new Query("t=1.5").integer("t")).toThrow();
  });

  test("cells", () => {
    expect(new Query("h=24").cells("h")).toBe(24);
    expect(() => new Query("").cells("h")).toThrow('invalid resize height "": invalid syntax');
    expect(() => new Query("w=-1").cells("w")).toThrow('invalid resize width "-1": value out of range');
    expect(() => new Query("w=99999999999").cells("w")).toThrow("out of range");
    expect(() => new Query("h=a").cells("h")).toThrow("invalid syntax");
  });

  test("timestamps keep their nanoseconds", () => {
    expect(new Query("s=1700000000.123456789").timestamp("s", "'")).toBe(1_700_000_000_123_456_789n);
    expect(new Query("s=5").timestamp("s", "'")).toBe(5_000_000_000n);
    expect(new Query("s=5.1").timestamp("s", "'")).toBe(5_100_000_000n);
    expect(new Query("s=5.1234567891").timestamp("s", "'")).toBe(5_123_456_789n);
    expect(new Query("").timestamp("s", "'")).toBeUndefined();
    expect(() => new Query("s=x").timestamp("s", "'")).toThrow("invalid value for 's': invalid timestamp \"x\"");
  });

  test("filters", () => {
    expect({ ...new Query('filters={"a":["b"]}').filters() }).toEqual({ a: ["b"] });
    expect(() => new Query("filters=%7B").filters()).toThrow("invalid filter");
  });

  test("a platform as JSON", () => {
    expect(new Query('platform={"os":"linux","architecture":"arm","variant":"v7"}').jsonPlatform()).toEqual({
      os: "linux",
      architecture: "arm",
      variant: "v7",
    });
    expect(() => new Query("platform=linux/amd64").jsonPlatform()).toThrow("failed to parse platform");
    expect(() => new Query('platform={"os":"linux"}').jsonPlatform()).toThrow("both OS and Architecture");
  });
});
