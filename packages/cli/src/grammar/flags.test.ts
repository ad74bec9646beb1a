import { describe, expect, test } from "bun:test";
import { parseFlags, UsageError, type FlagTable } from "./flags.ts";

const table: FlagTable = [
  { name: "interactive", shorthand: "i", type: "bool", help: "" },
  { name: "tty", shorthand: "t", type: "bool", help: "" },
  { name: "rm", type: "bool", help: "" },
  { name: "env", shorthand: "e", type: "list", help: "" },
  { name: "name", type: "string", help: "" },
  { name: "last", shorthand: "n", type: "int", default: -1, help: "" },
  {
    name: "cpus",
    type: "string",
    help: "",
    check: (value) => {
      if (Number.isNaN(Number(value))) throw new Error(`failed to parse ${value} as a rational number`);
    },
  },
];
const run = (...argv: string[]) => parseFlags(table, argv, { stopAtArgument: true });
const failure = (...argv: string[]): string => {
  try {
    run(...argv);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return "";
};

describe("parseFlags", () => {
  test("clusters, values with and without =, booleans with a value", () => {
    const flags = run(
      "-it",
      "--rm=false",
      "-eA=1",
      "-e",
      "B=2",
      "--env=C=3",
      "-n=4",
      "--name",
      "x",
      "image",
      "-t",
      "--rm",
    );
    expect(flags.bool("interactive")).toBe(true);
    expect(flags.bool("tty")).toBe(true);
    expect(flags.bool("rm")).toBe(false);
    expect(flags.changed("rm")).toBe(true);
    expect(flags.list("env")).toEqual(["A=1", "B=2", "C=3"]);
    expect(flags.int("last")).toBe(4);
    expect(flags.string("name")).toBe("x");
    expect(flags.args).toEqual(["image", "-t", "--rm"]);
  });

  test("defaults, --, a single dash and interspersed flags", () => {
    expect(run().int("last")).toBe(-1);
    expect(run("-t", "--", "--rm").args).toEqual(["--rm"]);
    expect(run("-").args).toEqual(["-"]);
    expect(parseFlags(table, ["a", "-t", "b"], { stopAtArgument: false }).args).toEqual(["a", "b"]);
  });

  test("errors in pflag's words", () => {
    expect(failure("--nope")).toBe("unknown flag: --nope");
    expect(failure("-itx")).toBe("unknown shorthand flag: 'x' in -itx");
    expect(failure("--name")).toBe("flag needs an argument: --name");
    expect(failure("-e")).toBe("flag needs an argument: 'e' in -e");
    expect(failure("--rm=maybe")).toBe(
      'invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
    );
    expect(failure("-n", "x")).toBe(
      'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax',
    );
    expect(failure("--cpus", "abc")).toBe(
      'invalid argument "abc" for "--cpus" flag: failed to parse abc as a rational number',
    );
    expect(failure("--=x")).toBe("bad flag syntax: --=x");
  });
});
