import { expect, test } from "bun:test";
import { parseMountOptions } from "./mount-options.ts";

test("flags and data are distinguished", () => {
  expect(parseMountOptions({})).toBeUndefined();
  expect(parseMountOptions({ type: "tmpfs", device: "tmpfs", o: "size=1m,uid=1000,noexec,ro,rw" })).toEqual({
    type: "tmpfs",
    device: "tmpfs",
    flags: 8,
    data: "size=1m,uid=1000",
  });
  expect(parseMountOptions({ type: "none", device: "/src", o: "bind,ro" })?.flags).toBe(4097);
  const reversed = { type: "tmpfs", device: "tmpfs", o: "strictatime,dirsync,noatime,atime,nostrictatime,nosymfollow" };
  expect(parseMountOptions(reversed)).toMatchObject({ flags: 128, data: "nosymfollow" });
});

test.each([
  [{ bogus: "1" }, 'invalid option: "bogus"'],
  [{ type: "tmpfs" }, 'missing required option: "device"'],
  [{ o: "bind", device: "/tmp" }, 'missing required option: "type"'],
])("%p is rejected", (options, message) =>
  expect(() => parseMountOptions(options as Record<string, string>)).toThrow(message),
);

test("a volume with an empty type and device is a plain one", () => {
  expect(parseMountOptions({ type: "", device: "" })).toBeUndefined();
  expect(parseMountOptions({ type: "", device: "", o: "bind" })).toBeUndefined();
  expect(() => parseMountOptions({ type: "", device: "/tmp" })).toThrow('missing required option: "type"');
  expect(() => parseMountOptions({ type: "" })).toThrow('missing required option: "device"');
});
