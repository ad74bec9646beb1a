import { expect, test } from "bun:test";
import { errnoName, errnoNumber, errnoText, isSysError, SysError } from "./errors.ts";

test("numbers, names and texts agree", () => {
  expect([errnoName(2), errnoNumber("ENOENT"), errnoText(2)]).toEqual(["ENOENT", 2, "No such file or directory"]);
  expect([errnoName(95), errnoName(110), errnoName(133)]).toEqual(["EOPNOTSUPP", "ETIMEDOUT", "EHWPOISON"]);
  expect([errnoName(9999), errnoText(9999)]).toEqual(["errno 9999", "Unknown error 9999"]);
  expect(() => errnoNumber("ENOSUCH")).toThrow("no such errno: ENOSUCH");
});

test("a message names the call, the subject and the reason", () => {
  expect(new SysError("openat2", 2, "/x").message).toBe("openat2 /x: No such file or directory (ENOENT)");
  expect(new SysError("umask", 22).message).toBe("umask: Invalid argument (EINVAL)");
});

test("isSysError distinguishes names", () => {
  const error = new SysError("open", 13);
  expect([isSysError(error), isSysError(error, "ENOENT", "EACCES"), isSysError(error, "ENOENT")]).toEqual([
    true,
    true,
    false,
  ]);
  expect(isSysError(new Error("EACCES"))).toBe(false);
});
