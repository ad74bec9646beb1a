import { expect, test } from "bun:test";
import { lookupUser, type LineFile, type UserFiles } from "./user.ts";

/** Counts the lines that are read. */
function lineFile(text: string, seen: string[] = []): LineFile {
  return {
    async lines(visit) {
      for (const line of text.split("\n")) {
        seen.push(line);
        if (visit(line)) return;
      }
    },
  };
}

const files: UserFiles = {
  passwd: lineFile(
    [
      "root:x:0:0:root:/root:/bin/sh",
      "toor:x:0:0::/elsewhere:/bin/sh",
      "nobody:x:65534:65534::/home:/bin/false",
      "1337:x:5:6::/trap:/bin/sh",
      "+::::::",
      "broken",
      "far:x:4294967296:0::/:/bin/sh",
      "",
    ].join("\n"),
  ),
  group: lineFile("root:x:0:\nwheel:x:10:root,nobody\naudio:x:18:\n7:x:99:\nbad:x:no:root\n"),
};

test("names and numbers, with Docker's rules", async () => {
  const user = async (spec: string, add?: readonly string[]): Promise<unknown> => {
    const { uid, gid, additionalGids, home } = await lookupUser(spec, files, add);
    return [uid, gid, additionalGids, home];
  };
  expect(await user("")).toEqual([0, 0, [0, 10], "/root"]);
  expect(await user("nobody")).toEqual([65534, 65534, [65534, 10], "/home"]);
  expect(await user("65534")).toEqual([65534, 65534, [65534, 10], "/home"]);
  expect(await user("1234")).toEqual([1234, 0, [0], "/"]);
  expect(await user("1234:5678")).toEqual([1234, 5678, [5678], "/"]);
  // A named group ends the search for other groups.
  expect(await user("nobody:wheel")).toEqual([65534, 10, [10], "/home"]);
  expect(await user(":5")).toEqual([0, 5, [5], "/root"]);
  expect(await user("1000:1000", ["777", "audio", "777"])).toEqual([1000, 1000, [1000, 777, 18], "/"]);
  // A number is an id even if a user has it as a name; the home is the home of that id.
  expect(await user("1337")).toEqual([1337, 0, [0], "/"]);
  expect(await user("toor")).toEqual([0, 0, [0], "/root"]);
  expect(await user("0:7")).toEqual([0, 7, [7], "/root"]);
});

test("images without the files", async () => {
  const none: UserFiles = { passwd: undefined, group: undefined };
  expect(await lookupUser("", none)).toEqual({ uid: 0, gid: 0, additionalGids: [0], home: "/" });
  expect(await lookupUser("5:6", none, ["7"])).toEqual({ uid: 5, gid: 6, additionalGids: [6, 7], home: "/" });
  await expect(lookupUser("root", none)).rejects.toThrow(
    "unable to find user root: no matching entries in passwd file",
  );
});

test("missing users and groups, and invalid ids", async () => {
  const message = async (spec: string, add?: readonly string[]): Promise<string> => {
    try {
      await lookupUser(spec, files, add);
    } catch (error) {
      return error instanceof Error ? error.message : "";
    }
    return "no error";
  };
  expect(await message("nosuchuser")).toBe("unable to find user nosuchuser: no matching entries in passwd file");
  expect(await message("root:nosuchgroup")).toBe("unable to find group nosuchgroup: no matching entries in group file");
  expect(await message("0", ["nosuch"])).toBe("unable to find group nosuch: no matching entries in group file");
  const range = "uids and gids must be in range 0-2147483647";
  // 2^32 would be root again.
  for (const spec of ["4294967296", "2147483648", "-1", "0:4294967296", "99999999999999999999", "far"])
    expect(await message(spec)).toBe(range);
  expect(await message("0", ["4294967296"])).toBe(range);
});

test("no line is read after the one that is needed", async () => {
  const [users, groups]: string[][] = [[], []];
  const read = async (spec: string, add: readonly string[] = []): Promise<unknown> => {
    users!.length = groups!.length = 0;
    const passwd = "root:x:0:0::/root:\nnobody:x:65534:65534::/home:\nlast:x:1:1:::";
    const group = "root:x:0:root\nwheel:x:10:root\naudio:x:18:\nlast:x:20:root";
    await lookupUser(spec, { passwd: lineFile(passwd, users), group: lineFile(group, groups) }, add);
    return [users!.length, groups!.length];
  };
  expect(await read("0:wheel")).toEqual([1, 2]);
  expect(await read("65534:0", ["audio"])).toEqual([2, 3]);
  expect(await read("5:6")).toEqual([3, 4]);
  expect(await read("5")).toEqual([3, 0]);
  // To know all groups of a user, the last line must be read as well as the first.
  expect(await read("root")).toEqual([2, 4]);
});
