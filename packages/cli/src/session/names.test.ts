import { expect, test } from "bun:test";
import { similarName } from "./names.ts";

test("a name with a mistake, and a part of only one name", () => {
  const names = ["web", "shop-database-1", "shop-web-1", "cache"];
  expect(similarName("wbe", names)).toBe("web");
  expect(similarName("cahe", names)).toBe("cache");
  expect(similarName("database", names)).toBe("shop-database-1");
  expect(similarName("shop", names)).toBeUndefined();
  expect(similarName("web", names)).toBeUndefined();
  expect(similarName("nothing", names)).toBeUndefined();
  expect(similarName("x", [])).toBeUndefined();
});
