import { expect, test } from "bun:test";
import { maskedProxy } from "./system.ts";

test("a proxy's credentials are not shown", () => {
  expect(maskedProxy("http://ann:s@cret@proxy.test:3128")).toBe("http://xxxxx:xxxxx@proxy.test:3128");
  expect(maskedProxy("ann:secret@proxy.test:3128")).toBe("xxxxx:xxxxx@proxy.test:3128");
  expect(maskedProxy("http://proxy.test:3128")).toBe("http://proxy.test:3128");
  expect(maskedProxy(undefined)).toBe("");
});
