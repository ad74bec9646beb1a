import { expect, test } from "bun:test";
import { parseFlags } from "./parse.ts";
import { commandFlags, globalFlags } from "./tables.ts";

test("flags with one dash or two, with a value behind or after an equals sign", () => {
  const flags = parseFlags(["-b", "/b", "--pid-file=/p", "-keep", "--detach=false", "id"], commandFlags.run);
  expect(flags.text("bundle")).toBe("/b");
  expect(flags.text("pid-file")).toBe("/p");
  expect([flags.on("keep"), flags.on("detach"), flags.on("no-pivot")]).toEqual([true, false, false]);
  expect(flags.args).toEqual(["id"]);
});

test("flags may follow the arguments, but not where a program follows", () => {
  expect(parseFlags(["id", "--force"], commandFlags.delete).on("force")).toBe(true);
  const flags = parseFlags(["-e", "A=1", "--env", "B=2", "id", "ls", "-t"], commandFlags.exec);
  expect(flags.list("env")).toEqual(["A=1", "B=2"]);
  expect(flags.args).toEqual(["id", "ls", "-t"]);
  expect(flags.on("tty")).toBe(false);
  expect(parseFlags(["--root", "/r", "run", "--bundle", "b", "id"], globalFlags).args).toEqual([
    "run",
    "--bundle",
    "b",
    "id",
  ]);
});

test('"-", a signal, and what follows "--" are arguments', () => {
  expect(parseFlags(["--resources", "-", "id"], commandFlags.update).text("resources")).toBe("-");
  expect(parseFlags(["id", "-9"], commandFlags.kill).args).toEqual(["id", "-9"]);
  expect(parseFlags(["--", "--force"], commandFlags.delete).args).toEqual(["--force"]);
});

test("what runc refuses", () => {
  const refused =
    (argv: readonly string[]): (() => unknown) =>
    () =>
      parseFlags(argv, commandFlags.run);
  expect(refused(["--nosuch"])).toThrow("flag provided but not defined: -nosuch");
  expect(refused(["--bundle"])).toThrow("flag needs an argument: -bundle");
  expect(refused(["--keep=maybe"])).toThrow('invalid boolean value "maybe" for -keep: parse error');
  expect(() => parseFlags(["--preserve-fds", "x"], commandFlags.run).wholeNumber("preserve-fds")).toThrow(
    'invalid value "x" for flag -preserve-fds: parse error',
  );
});
