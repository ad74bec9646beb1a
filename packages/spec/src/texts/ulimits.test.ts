import { expect, test } from "bun:test";
import { parseUlimit } from "./ulimits.ts";

test("one value sets both limits, -1 means no limit", () => {
  expect(parseUlimit("nofile=100:200")).toEqual({ limit: { Name: "nofile", Soft: 100, Hard: 200 } });
  expect(parseUlimit("core=-1")).toEqual({ limit: { Name: "core", Soft: -1, Hard: -1 } });
  expect(parseUlimit("core=5:-1")).toEqual({ limit: { Name: "core", Soft: 5, Hard: -1 } });
});

test("errors have the words of go-units", () => {
  const wrong = (text: string): string => {
    const result = parseUlimit(text);
    return "wrong" in result ? result.wrong : "";
  };
  expect(wrong("nofile")).toBe("invalid ulimit argument: nofile");
  expect(wrong("nosuch=1")).toBe("invalid ulimit type: nosuch");
  // go-units does not have it, so the docker CLI and the daemon's settings do not have it either.
  expect(wrong("as=1")).toBe("invalid ulimit type: as");
  expect(wrong("nofile=1:2:3")).toBe("too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`");
  expect(wrong("nofile=x")).toBe('strconv.ParseInt: parsing "x": invalid syntax');
  expect(wrong("nofile=2:1")).toBe("ulimit soft limit must be less than or equal to hard limit: 2 > 1");
  expect(wrong("nofile=-1:1")).toBe(
    "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: 1",
  );
});
