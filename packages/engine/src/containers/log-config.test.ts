import { expect, test } from "bun:test";
import { checkLogSettings } from "./log-config.ts";

test("compressed logs are rejected, not ignored", () => {
  const check = (Config: Record<string, string>) => (): void => checkLogSettings({ Type: "json-file", Config });
  expect(check({ compress: "true" })).toThrow("compress cannot be true when max-file is less than 2");
  for (const compress of ["true", "1", "True"])
    expect(check({ compress, "max-file": "2", "max-size": "1m" })).toThrow("'compress' is not supported yet");
  check({ compress: "false", "max-file": "2", "max-size": "1m" })();
  for (const compress of ["tRUE", "yes", ""])
    expect(check({ compress })).toThrow(`strconv.ParseBool: parsing ${JSON.stringify(compress)}: invalid syntax`);
});

test("a mode that does not block is rejected, not ignored", () => {
  const check = (Config: Record<string, string>) => (): void => checkLogSettings({ Type: "json-file", Config });
  expect(check({ mode: "some" })).toThrow("logger: logging mode not supported: some");
  expect(check({ "max-buffer-size": "1m" })).toThrow("only supported with 'mode=non-blocking'");
  expect(check({ mode: "non-blocking", "max-buffer-size": "x" })).toThrow("invalid size: 'x'");
  for (const more of [{}, { "max-buffer-size": "1m" }])
    expect(check({ mode: "non-blocking", ...more })).toThrow("log opt 'mode=non-blocking' is not supported yet");
  check({ mode: "blocking" })();
});

test("max-file is a number as Docker reads it", () => {
  const check = (files: string) => (): void =>
    checkLogSettings({ Type: "json-file", Config: { "max-file": files, "max-size": "1m" } });
  for (const files of ["1e9", "0x10", " 5", "1.0", "", "five"])
    expect(check(files)).toThrow(`strconv.Atoi: parsing ${JSON.stringify(files)}: invalid syntax`);
  for (const files of ["99999999999999999999", "9223372036854775808", "-9223372036854775809"])
    expect(check(files)).toThrow(`strconv.Atoi: parsing ${JSON.stringify(files)}: value out of range`);
  for (const files of ["0", "-3", "-9223372036854775808"])
    expect(check(files)).toThrow("max-file cannot be less than 1");
  for (const files of ["5", "+5", "007", "5000000000", "9223372036854775807"]) check(files)();
});
