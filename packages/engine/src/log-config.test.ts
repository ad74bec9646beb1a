import { expect, test } from "bun:test";
import { checkLogSettings } from "./log-config.ts";

test("compressed logs are refused, not ignored", () => {
  const check = (Config: Record<string, string>) => (): void => checkLogSettings({ Type: "json-file", Config });
  expect(check({ compress: "true" })).toThrow("compress cannot be true when max-file is less than 2");
  for (const compress of ["true", "1", "True"])
    expect(check({ compress, "max-file": "2", "max-size": "1m" })).toThrow("'compress' is not supported yet");
  check({ compress: "false", "max-file": "2", "max-size": "1m" })();
});
