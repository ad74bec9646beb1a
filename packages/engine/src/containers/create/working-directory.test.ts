import { temporaryDirectory } from "@fathom/base/testing";
import { createSys, O_CLOEXEC, O_DIRECTORY, O_PATH } from "@fathom/sys";
import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkWorkingDirectory } from "./working-directory.ts";

test("a working directory may be a directory or nothing, but no file", () => {
  using root = temporaryDirectory("working-directory");
  mkdirSync(join(root.path, "srv/data"), { recursive: true });
  writeFileSync(join(root.path, "srv/file"), "");
  // Links lead to places in the image, never out of it.
  symlinkSync("/srv/file", join(root.path, "to-file"));
  symlinkSync("/etc/passwd", join(root.path, "to-host"));
  const sys = createSys();
  const rootFd = sys.open(root.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  try {
    for (const path of ["/srv/data", "/srv/new/below", "/to-host", "/"]) checkWorkingDirectory(sys, rootFd, path);
    for (const path of ["/srv/file", "/srv/file/below", "/to-file"])
      expect(() => checkWorkingDirectory(sys, rootFd, path)).toThrow(`Cannot mkdir: ${path} is not a directory`);
  } finally {
    sys.close(rootFd);
  }
});
