import { expect, test } from "bun:test";
import { byteString, TarWriter, type TarEntryInput } from "@fathom/archive";
import { S_IFDIR, S_IFLNK, S_IFREG, type TreeWriting, type WriteEntry } from "@fathom/sys";
import { TarTreeWriter } from "./tar-tree-writer.ts";

/** What the writer queues, in words. */
function recorder(): { readonly log: string[]; readonly writing: TreeWriting; readonly entries: WriteEntry[] } {
  const log: string[] = [];
  const entries: WriteEntry[] = [];
  const name = ({ path }: WriteEntry): string => Buffer.from(path).toString();
  const writing: TreeWriting = {
    place: async () => ({ directory: true, readOnly: false, onRootMount: true }),
    begin: (entry) => {
      entries.push(entry);
      log.push(`begin ${name(entry)}`);
    },
    data: (bytes, offset) => void log.push(`data ${Buffer.from(bytes).toString()} at ${offset}`),
    end: (xattrs) => void log.push(["end", ...xattrs.map((xattr) => xattr.name)].join(" ")),
    times: (entry) => void log.push(`times ${name(entry)}`),
    send: async () => void log.push("send"),
    finish: async () => void log.push("finish"),
    [Symbol.dispose]() {},
  };
  return { log, writing, entries };
}

function archive(inputs: readonly (readonly [Partial<TarEntryInput> & { readonly path: string }, string?])[]): Buffer {
  const chunks: Uint8Array[] = [];
  const tar = new TarWriter((chunk) => chunks.push(Buffer.from(chunk)));
  for (const [input, content = ""] of inputs) {
    const { path, ...more } = input;
    tar.entry({
      kind: "file",
      linkPath: byteString(""),
      mode: 0o640,
      uid: 5,
      gid: 6,
      mtimeNs: 7_000_000_000n,
      size: content.length,
      deviceMajor: 0,
      deviceMinor: 0,
      xattrs: [],
      ...more,
      path: byteString(path),
    } as TarEntryInput);
    if (content !== "") tar.data(Buffer.from(content));
  }
  tar.finish();
  return Buffer.concat(chunks);
}

test("entries, with attributes as the archive says; times of directories come last", async () => {
  const { log, writing, entries } = recorder();
  const tree = new TarTreeWriter(writing, undefined);
  tree.write(
    archive([
      [{ path: "./", kind: "directory" }],
      [{ path: "/d/", kind: "directory", mode: 0o750 }],
      [{ path: "d/./f" }, "hello"],
      [{ path: "d/../l", kind: "symlink", linkPath: byteString("../../etc/passwd") }],
      [{ path: "h", kind: "hardlink", linkPath: byteString("/d/f") }],
    ]),
  );
  await tree.finish();
  expect(log).toEqual([
    "begin d",
    "end",
    "begin d/f",
    "data hello at 0",
    "end",
    "begin l",
    "end",
    "begin h",
    "end",
    "times d",
    "finish",
  ]);
  expect(entries.map(({ mode, uid, gid, hardLink, target }) => [mode, uid, gid, hardLink, String(target)])).toEqual([
    [S_IFDIR | 0o750, 5, 6, false, ""],
    [S_IFREG | 0o640, 5, 6, false, ""],
    [S_IFLNK | 0o640, 5, 6, false, "../../etc/passwd"],
    [S_IFREG | 0o640, 5, 6, true, "d/f"],
  ]);
});

test("the times of many directories are sent in parts, so that other work has its turns", async () => {
  const { log, writing } = recorder();
  const tree = new TarTreeWriter(writing, undefined);
  tree.write(
    archive(Array.from({ length: 5000 }, (_none, index) => [{ path: `d${index}`, kind: "directory" }] as const)),
  );
  await tree.finish();
  const parts = log.slice(log.indexOf("times d0")).join(" ").split("send");
  expect(parts).toHaveLength(5);
  expect(log.filter((what) => what.startsWith("times"))).toHaveLength(5000);
  expect(log.at(-1)).toBe("finish");
});

test("one owner for all, and only xattrs that belong to the file", async () => {
  const { log, writing, entries } = recorder();
  const tree = new TarTreeWriter(writing, { uid: 1000, gid: 1001 });
  const value = Buffer.from("x");
  const names = ["user.a", "trusted.overlay.opaque", "security.selinux", "security.capability"];
  tree.write(archive([[{ path: "f", xattrs: names.map((name) => ({ name, value })) }]]));
  await tree.finish();
  expect(entries.map(({ uid, gid }) => [uid, gid])).toEqual([[1000, 1001]]);
  expect(log.at(-2)).toBe("end security.capability user.a");
});

for (const path of ["../up", "a/../../up", "/../up"])
  test(`a path that leads out is an error of the request: ${path}`, () => {
    const { log, writing } = recorder();
    const tree = new TarTreeWriter(writing, undefined);
    expect(() => tree.write(archive([[{ path }, "x"]]))).toThrow(`invalid entry name ${JSON.stringify(path)}`);
    expect(log).toEqual([]);
  });

test("a hard link to a file outside is an error, and an archive that is cut off too", async () => {
  const { writing } = recorder();
  const outside = archive([[{ path: "h", kind: "hardlink", linkPath: byteString("../etc/shadow") }]]);
  expect(() => new TarTreeWriter(writing, undefined).write(outside)).toThrow('invalid entry name "h"');
  const cut = new TarTreeWriter(writing, undefined);
  cut.write(archive([[{ path: "f" }, "hello"]]).subarray(0, 514));
  await expect(cut.finish()).rejects.toThrow("unexpected EOF");
});
