import { expect, test } from "bun:test";
import { lookupUser, type UserFiles } from "./user.ts";

const files: UserFiles = {
  passwd: [
    "root:x:0:0:root:/root:/bin/sh",
    "toor:x:0:0::/elsewhere:/bin/sh",
    "nobody:x:65534:65534::/home:/bin/false",
    "1337:x:5:6::/trap:/bin/sh",
    "+::::::",
    "broken",
    "far:x:4294967296:0::/:/bin/sh",
    "",
  ].join("\n"),
  group: "root:x:0:\nwheel:x:10:root,nobody\naudio:x:18:\n7:x:99:\nbad:x:no:root\n",
};

test("names and numbers, with Docker's rules", () => {
  const user = (spec: string, add?: readonly string[]): unknown => {
    const { uid, gid, additionalGids, home } = lookupUser(spec, files, add);
    return [uid, gid, additionalGids, home];
  };
  expect(user("")).toEqual([0, 0, [0, 10], "/root"]);
  expect(user("nobody")).toEqual([65534, 65534, [65534, 10], "/home"]);
  expect(user("65534")).toEqual([65534, 65534, [65534, 10], "/home"]);
  expect(user("1234")).toEqual([1234, 0, [0], "/"]);
  expect(user("1234:5678")).toEqual([1234, 5678, [5678], "/"]);
  // A named group ends the search for further ones.
  expect(user("nobody:wheel")).toEqual([65534, 10, [10], "/home"]);
  expect(user(":5")).toEqual([0, 5, [5], "/root"]);
  expect(user("1000:1000", ["777", "audio", "777"])).toEqual([1000, 1000, [1000, 777, 18], "/"]);
  // A number is an id even where a user is named so; the home is that of the id.
  expect(user("1337")).toEqual([1337, 0, [0], "/"]);
  expect(user("toor")).toEqual([0, 0, [0], "/root"]);
  expect(user("0:7")).toEqual([0, 7, [7], "/root"]);
});

test("images without the files", () => {
  const none: UserFiles = { passwd: undefined, group: undefined };
  expect(lookupUser("", none)).toEqual({ uid: 0, gid: 0, additionalGids: [0], home: "/" });
  expect(lookupUser("5:6", none, ["7"])).toEqual({ uid: 5, gid: 6, additionalGids: [6, 7], home: "/" });
  expect(() => lookupUser("root", none)).toThrow("unable to find user root: no matching entries in passwd file");
});

test("what is not there, and ids that are none", () => {
  const message = (spec: string, add?: readonly string[]): string => {
    try {
      lookupUser(spec, files, add);
    } catch (error) {
      return error instanceof Error ? error.message : "";
    }
    return "no error";
  };
  expect(message("nosuchuser")).toBe("unable to find user nosuchuser: no matching entries in passwd file");
  expect(message("root:nosuchgroup")).toBe("unable to find group nosuchgroup: no matching entries in group file");
  expect(message("0", ["nosuch"])).toBe("unable to find group nosuch: no matching entries in group file");
  const range = "uids and gids must be in range 0-2147483647";
  // 2^32 would be root again.
  for (const spec of ["4294967296", "2147483648", "-1", "0:4294967296", "99999999999999999999", "far"])
    expect(message(spec)).toBe(range);
  expect(message("0", ["4294967296"])).toBe(range);
});
